"""Fine-tuned models in the formats of others: folders for transformers, SavedModels."""

import os
from typing import Mapping

from albert.checkpoints.results import read_results
from albert.compat import tf
from albert.formats.huggingface import config as config_json
from albert.formats.huggingface import names, spiece
from albert.formats.huggingface.folder import (
    SPIECE_FILE,
    TASK_CLASSES,
    write_model,
    write_tokenizer,
)
from albert.formats.saved_model import IDS, Signature, Tensors
from albert.system.files.atomic import atomic_write
from albert.tasks.check_rows import rows_of_fine_tuned
from albert.tasks.folder import FineTuned
from albert.tasks.model import task_logits
from albert.tasks.scores import REPORT_FILE
from albert.tasks.serving import Served
from albert.tasks.task import TASK_FILE

_PIPELINES = {
    "classification": "text-classification",
    "tagging": "token-classification",
    "entities": "token-classification",
}
_CARD = """---
library_name: transformers
pipeline_tag: {pipeline}
tags:
- albert
---

# ALBERT for {kind}

Fine-tuned for {step:,} updates. Labels: {labels}.

```python
from transformers import AutoModelFor{task_class}, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = AutoModelFor{task_class}.from_pretrained("{folder}"{remote})
```
"""


def write_huggingface(directory: str, model: FineTuned) -> None:
    """Writes a folder that transformers' class for the task loads.

    Args:
      directory: An existing folder.
      model: What to write.

    Raises:
      UsageError: transformers has no equal of the model or its tokenizer.
    """
    config, task = model.config, model.task
    pieces = spiece.read(model.tokenization.model_file)
    values = config_json.to_huggingface(config, pieces.special_ids, TASK_CLASSES[task.kind])
    values["id2label"] = {str(number): label for number, label in enumerate(task.labels)}
    values["label2id"] = {label: number for number, label in enumerate(task.labels)}
    values["classifier_dropout_prob"] = config.hidden_dropout_prob
    write_model(directory, values, names.to_huggingface(config, model.weights))
    write_tokenizer(directory, pieces, model.tokenization, task.max_seq_length)
    name = os.path.basename(os.path.abspath(directory))
    with atomic_write(os.path.join(directory, "README.md")) as handle:
        handle.write(_card(model, read_results(model.directory), name))


def _card(model: FineTuned, results: Mapping[str, float], folder: str) -> str:
    remote = model.config.layout == "brightmart"
    text = _CARD.format(
        pipeline=_PIPELINES[model.task.kind],
        kind=model.task.kind,
        step=model.step,
        labels=", ".join(model.task.labels),
        task_class=TASK_CLASSES[model.task.kind],
        folder=folder,
        remote=", trust_remote_code=True" if remote else "",
    )
    shown = {name: value for name, value in results.items() if name != "global_step"}
    lines = ["| {} | {:.4f} |".format(name, value) for name, value in shown.items()]
    return text + "\n| | |\n|---|---|\n" + "\n".join(lines) + "\n"


def served_task(model: FineTuned) -> Served:
    """One signature, `classify` or `tag`.

    It takes input_ids, input_mask and segment_ids, [B, S], and returns logits and probabilities,
    [B, labels] of texts and [B, S, labels] of words; labels and tokenizer lie beside it.
    """

    def predict(weights: Tensors, inputs: Tensors) -> Tensors:
        logits = task_logits(model.config, model.task, weights, inputs)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    name = "tag" if model.task.tags_words else "classify"
    signature = Signature(predict, IDS, model.config.max_position_embeddings)
    files = {SPIECE_FILE: model.tokenization.model_file}
    for kept in (TASK_FILE, REPORT_FILE):  # imported ones have no report
        if os.path.isfile(os.path.join(model.directory, kept)):
            files[kept] = os.path.join(model.directory, kept)
    return Served({name: signature}, model.weights, files, lambda: rows_of_fine_tuned(model))
