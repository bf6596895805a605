"""Fine-tuned models in the formats of others: folders for transformers, SavedModels."""

import os
from typing import Dict, Mapping

import numpy as np

from albert.checkpoints.results import read_results
from albert.formats.huggingface import config as config_json
from albert.formats.huggingface import names, spiece
from albert.formats.huggingface.folder import (
    PROBLEM_TYPES,
    SPIECE_FILE,
    TASK_CLASSES,
    write_model,
    write_tokenizer,
)
from albert.formats.saved_model import IDS, Signature, Tensors, write_saved_model
from albert.model.parameters import HEAD_BIAS, HEAD_WEIGHTS
from albert.system.files.atomic import atomic_write
from albert.tasks.folder import FineTuned
from albert.tasks.model import task_logits, task_output
from albert.tasks.report import REPORT_FILE
from albert.tasks.task import TASK_FILE, Task

_PIPELINES = {
    "classification": "text-classification",
    "multi-label": "text-classification",
    "tagging": "token-classification",
    "entities": "token-classification",
    "regression": "text-classification",
}
# The signature that a task has, and what it returns beside logits.
_SERVED = {
    "classification": ("classify", "probabilities"),
    "multi-label": ("classify", "probabilities"),
    "tagging": ("tag", "probabilities"),
    "entities": ("tag", "probabilities"),
    "regression": ("regress", "scores"),
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
    if task.kind in PROBLEM_TYPES:
        values["problem_type"] = PROBLEM_TYPES[task.kind]
    write_model(directory, values, names.to_huggingface(config, _plain(task, model.weights)))
    write_tokenizer(directory, pieces, model.tokenization, task.max_seq_length)
    name = os.path.basename(os.path.abspath(directory))
    with atomic_write(os.path.join(directory, "README.md")) as handle:
        handle.write(_card(model, read_results(model.directory), name))


def _plain(task: Task, weights: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Weights whose head says numbers as they are, not in deviations from their mean."""
    mean, deviation = np.float32(task.mean), np.float32(task.deviation)
    head = {
        HEAD_WEIGHTS: weights[HEAD_WEIGHTS] * deviation,
        HEAD_BIAS: weights[HEAD_BIAS] * deviation + mean,
    }
    return dict(weights, **head)


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


def write_served(directory: str, model: FineTuned) -> None:
    """Writes a SavedModel with one signature, `classify`, `regress` or `tag`.

    It takes input_ids, input_mask and segment_ids, [B, S], and returns logits and probabilities,
    [B, labels] of texts and [B, S, labels] of words, or scores, [B, 1], of regression; labels and
    tokenizer lie in `assets.extra`.
    """
    served, output = _SERVED[model.task.kind]

    def predict(weights: Tensors, inputs: Tensors) -> Tensors:
        logits = task_logits(model.config, model.task, weights, inputs)
        return {"logits": logits, output: task_output(model.task, logits)}

    extra = {
        SPIECE_FILE: model.tokenization.model_file,
        TASK_FILE: os.path.join(model.directory, TASK_FILE),
        REPORT_FILE: os.path.join(model.directory, REPORT_FILE),
    }
    extra = {
        name: path for name, path in extra.items() if os.path.isfile(path)
    }  # imported: no report
    write_saved_model(directory, model.weights, {served: Signature(predict, IDS)}, extra)
