"""Manifests made by hand."""

import os

from albert.records.manifest import VERSION, Manifest, ModelFile, RecordFile, SpecialIds
from albert.records.options import RecordOptions


def manifest(*names, vocab_size=101, ids=(2, 3, 4), model="sp.model", sha256="0" * 64, **options):
    """The manifest of some record files; `ids` are those of [CLS], [SEP] and [MASK]."""
    chosen = RecordOptions("text.txt", ",".join(names) or "a.tfrecord", model, **options)
    return Manifest(
        version=VERSION,
        options=chosen,
        model=ModelFile(os.path.basename(model), sha256),
        vocab_size=vocab_size,
        special_ids=SpecialIds(*ids, pad=0, unk=1),
        sentence_task=chosen.sentence_task,
        masking=chosen.masking,
        max_seq_length=chosen.max_seq_length,
        max_predictions_per_seq=chosen.predictions,
        documents=12,
        examples=34,
        dropped_short_examples=0,
        tokens=560,
        masked_tokens=78,
        examples_without_masks=0,
        predictions_lost_to_cap=0,
        sentence_labels={"0": 17, "1": 17, "-1": 0},
        unigram_entropy=6.25,
        top_piece=".",
        top_piece_share=0.05,
        files=[RecordFile(name, 34, 1000, "00000000") for name in names],
        reserved_ids=sorted(ids),
    )
