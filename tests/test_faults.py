"""Planted faults in real trainings, each named by the diagnosis; healthy runs are not accused.

Run with -s to see the table.
"""

import dataclasses
import json

import numpy as np
import pytest
from absl.testing import flagsaver
from conftest import write_examples
from manifests import manifest

from albert.commands import pretrain
from albert.records.manifest import unigram_entropy, write_manifest
from albert.training.diagnosis.watch import FINDINGS_FILE
from albert.training.step import towers

VOCABULARY, LENGTH, PREDICTIONS = 25, 16, 4
CLS, SEP, MASK = 2, 3, 4
TEXT = LENGTH - 6  # pieces beside three special ones and three of padding
STEPS = 160
MODEL = {
    "vocab_size": VOCABULARY,
    "embedding_size": 16,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": LENGTH,
    "initializer_range": 0.1,
}
LAYOUTS = {
    "google": {"layout": "google"},
    "brightmart": {
        "layout": "brightmart",
        "final_layer_norm": True,
        "projection_initializer_range": 0.25,
    },
}


def text(start):
    """Ids whose neighbours tell them: each is the one before plus one, in a circle."""
    return 5 + (start + np.arange(TEXT)) % (VOCABULARY - 5)


def example(random, ids, mask=MASK, sep=SEP, shift=0, at_padding=False):
    """One record with 80/10/10 masks."""
    row = np.concatenate([[CLS], ids[: TEXT // 2], [sep], ids[TEXT // 2 :], [sep], [0, 0, 0]])
    free = np.setdiff1d(np.arange(1, LENGTH - 4), [TEXT // 2 + 1])
    positions = np.sort(random.choice(free, PREDICTIONS, replace=False))
    if at_padding:
        positions = np.array([1, LENGTH - 3, LENGTH - 2, LENGTH - 1])
    labels = row[(positions + shift) % (LENGTH - 3)] if shift else row[positions].copy()
    for position in positions:
        fate = random.rand()
        if fate < 0.8:
            row[position] = mask
        elif fate < 0.9:
            row[position] = random.randint(5, VOCABULARY)
    return {
        "input_ids": row,
        "input_mask": (np.arange(LENGTH) < LENGTH - 3).astype(np.int64),
        "segment_ids": (np.abs(np.arange(LENGTH) - 9.5) < 3).astype(np.int64),
        "masked_lm_positions": positions,
        "masked_lm_ids": labels,
        "masked_lm_weights": np.ones(PREDICTIONS, np.float32),
        "next_sentence_labels": np.array([-1]),
    }


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Record files by the fault that is in them."""
    folder = tmp_path_factory.mktemp("records")
    kinds = {
        "healthy": {},
        "shifted": {"shift": 1},
        "padding": {"at_padding": True},
        "mask_id": {"mask": 20},
        "sep_id": {"sep": 20},
        "one_sentence": {"starts": 1},
        "repeats": {"starts": 12},  # each 125 times
    }
    for name, options in kinds.items():
        random = np.random.RandomState(1)
        starts = options.get("starts", VOCABULARY - 5)
        options = {key: value for key, value in options.items() if key != "starts"}
        examples = [example(random, text(number % starts), **options) for number in range(1500)]
        write_examples(folder / (name + ".tfrecord"), examples)
        counts = np.bincount(np.concatenate([made["masked_lm_ids"] for made in examples]))
        write_manifest(
            str(folder / (name + ".tfrecord.manifest.json")),
            dataclasses.replace(
                manifest(vocab_size=VOCABULARY, dupe_factor=5),
                unigram_entropy=unigram_entropy(counts),
                top_piece_share=float(counts.max() / counts.sum()),
            ),
        )
    return folder


def findings(tmp_path, records, kind="healthy", layout="google", **flags):
    """Trains; returns the names of what was found and not gone at the end."""
    (tmp_path / "model.json").write_text(json.dumps(dict(MODEL, **LAYOUTS[layout])))
    values = {
        "input_file": records / (kind + ".tfrecord"),
        "output_dir": tmp_path / "out",
        "albert_config_file": tmp_path / "model.json",
        "train_batch_size": 32,
        "num_train_steps": STEPS,
        "num_warmup_steps": 16,
        "optimizer": "adamw",
        "learning_rate": 3e-3,
        "log_steps": 20,
        "use_gpu": False,
        "padding": "none",
        "tqdm_off": True,
    }
    values.update(flags)
    arguments = ["--{}={}".format(name, value) for name, value in values.items()]
    with flagsaver.flagsaver():
        assert pretrain.main(["train"] + arguments) == 0
    path = tmp_path / "out" / FINDINGS_FILE
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["name"] for line in lines]


LAMB = {"optimizer": "lamb", "learning_rate": 1e-2, "num_train_steps": 480}


@pytest.mark.parametrize("flags", [{"num_train_steps": 240}, LAMB], ids=["adamw", "lamb"])
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_a_healthy_run_is_never_accused(tmp_path, records, layout, flags):
    assert findings(tmp_path, records, layout=layout, **flags) == []


FAULTS = [
    ("rate x100", {"learning_rate": 0.5}, "rate_too_high"),
    ("rate / 100", {"learning_rate": 2e-5}, "rate_too_low"),
    ("no warm-up with post-LN", {"num_warmup_steps": 0}, "no_warm_up"),
    ("labels shifted by one", {"kind": "shifted"}, "labels_do_not_fit"),
    ("masks at padding", {"kind": "padding"}, "masks_at_padding"),
    ("all data one sentence", {"kind": "one_sentence"}, "duplicated_data"),
    ("few texts, each many times", {"kind": "repeats"}, "duplicated_data"),
    ("[SEP] id wrong", {"kind": "sep_id"}, "special_pieces_wrong"),
    ("[MASK] id wrong", {"kind": "mask_id"}, "mask_id_wrong"),
    (
        "decay on LayerNorm with a large rate",
        {"exclude_from_weight_decay": "bias", "weight_decay": 0.5, "learning_rate": 2e-2},
        "decay_on_norms",
    ),
    (
        "LAMB whose gradients drown in epsilon",
        dict(LAMB, adam_epsilon=10.0, num_train_steps=100),
        "trust_ratios_out_of_band",
    ),
]


@pytest.mark.parametrize("fault,flags,finding", FAULTS, ids=[fault[0] for fault in FAULTS])
def test_a_fault_of_flags_or_data_is_named(tmp_path, records, fault, flags, finding):
    found = findings(tmp_path, records, **flags)
    print("| {} | {} |".format(fault, ", ".join(found)))
    assert finding in found


@pytest.mark.parametrize(
    "fault,prefix,finding",
    [
        ("frozen embeddings", "bert/embeddings/", "frozen_weights"),
        ("zero-initialised head gradient", "cls/predictions/", "head_without_gradient"),
    ],
)
def test_weights_without_gradient_are_named(tmp_path, records, monkeypatch, fault, prefix, finding):
    plain = towers.tower_gradients

    def without(*arguments, **options):
        gradients, sums = plain(*arguments, **options)
        return {n: 0.0 * g if n.startswith(prefix) else g for n, g in gradients.items()}, sums

    monkeypatch.setattr("albert.training.step.step.tower_gradients", without)
    found = findings(tmp_path, records)
    print("| {} | {} |".format(fault, ", ".join(found)))
    assert finding in found


def test_a_resumed_run_says_only_what_is_new(tmp_path, records):
    first = findings(tmp_path, records, learning_rate=2e-5, num_train_steps=40)
    assert first == ["rate_too_low", "plateau"]
    assert findings(tmp_path, records, learning_rate=2e-5, num_train_steps=60) == first
