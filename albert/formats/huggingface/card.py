"""The model card: what the model is, how it was trained and how good it is, in its own numbers."""

from typing import Dict, List, Mapping, Optional

from albert.checkpoints.folder import Checkpoint
from albert.formats.huggingface.config import REMOTE_CODE_FILE
from albert.model.config import SIZE_FIELDS
from albert.records.manifest import Manifest
from albert.text.tokenization import Tokenization

# sentence_order_* stand in the file a second time, as next_sentence_*.
_SHOWN_RESULTS = ("loss",) + tuple(
    task + what for task in ("masked_lm_", "sentence_order_") for what in ("loss", "accuracy")
)
_SHOWN_FLAGS = (
    "optimizer",
    "learning_rate",
    "num_train_steps",
    "num_warmup_steps",
    "train_batch_size",
    "weight_decay",
    "precision",
    "random_seed",
)
_FRONT_MATTER = """---
library_name: transformers
pipeline_tag: fill-mask
tags:
- albert
---

"""
_TITLE = """# ALBERT

Pre-trained with masked-word and sentence-order prediction; {steps:,} updates.
"""
_USE = """
## Use

```python
from transformers import AutoModelForPreTraining, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = AutoModelForPreTraining.from_pretrained("{folder}"{remote})
```
"""
_REMOTE = """
The layers are ordered as in brightmart's ALBERT, for which transformers has no class:
`{module}` in this folder holds it, and `trust_remote_code=True` runs that file.
"""
_ON_PLATEAU = """
**It predicts words no better than their frequencies do, so its weights may be worth no more than
new ones.**
"""


def model_card(
    checkpoint: Checkpoint,
    tokenization: Tokenization,
    flags: Mapping[str, str],
    folder: str,
    learned_nothing: bool = False,
) -> str:
    """The text of README.md.

    Args:
      checkpoint: The model and its evaluation.
      tokenization: How text becomes ids.
      flags: Of the training run, if it is known.
      folder: What the model is called when it is loaded.
      learned_nothing: Whether its run sits on the plateau of word frequencies, or diverged.
    """
    text = _FRONT_MATTER + title(checkpoint)
    remote = checkpoint.config.layout == "brightmart"
    text += _USE.format(folder=folder, remote=", trust_remote_code=True" if remote else "")
    if remote:
        text += _REMOTE.format(module=REMOTE_CODE_FILE)
    text += _abilities(checkpoint, tokenization.manifest, learned_nothing)
    return text + numbers(checkpoint, tokenization, flags)


def _abilities(checkpoint: Checkpoint, manifest: Optional[Manifest], learned_nothing: bool) -> str:
    """What the numbers below mean, in words."""
    text = "\n## What it can and cannot do\n"
    results, words = checkpoint.results, "masked_lm_accuracy"
    text += _ON_PLATEAU if learned_nothing else ""
    if words in results:
        text += "\nIt gets {:.1%} of the masked pieces of held-out text right".format(
            results[words]
        )
        order = results.get("sentence_order_accuracy")
        if order is not None:
            text += ", and {:.1%} of the orders of two segments, of which a guess gets half".format(
                order
            )
        text += ".\n"
    if manifest and "masked_lm_loss" in results:
        loss, entropy = results["masked_lm_loss"], manifest.unigram_entropy
        text += (
            "\nWord frequencies alone leave {:.2f} nats a piece, this model {:.2f}: context saves "
            "{:.0%} of them.\n".format(entropy, loss, max(0.0, 1.0 - loss / entropy))
        )
    if manifest:
        text += (
            "\nIt has seen {:,} documents, {:,} tokens; of what is not like them it knows "
            "little.\n".format(manifest.documents, manifest.tokens)
        )
    return text + (
        "\nIt fills gaps and makes vectors; for labels it must be fine-tuned. It does not write "
        "text, and repeats what its training text says of people.\n"
    )


def title(checkpoint: Checkpoint) -> str:
    """What it is, with the heading of the whole card."""
    return _TITLE.format(steps=checkpoint.step)


def numbers(checkpoint: Checkpoint, tokenization: Tokenization, flags: Mapping[str, str]) -> str:
    """The sections about results, training, data and sizes; arguments as of `model_card`."""
    text = ""
    results = {k: v for k, v in checkpoint.results.items() if k in _SHOWN_RESULTS}
    text += _table("Held-out results", results)
    if not results:
        text += "\n## Held-out results\n\nThis checkpoint was not evaluated.\n"
    text += _table("Training", {k: flags[k] for k in _SHOWN_FLAGS if k in flags})
    text += _table("Data", _data(tokenization.manifest))
    text += _table("Sizes", {key: getattr(checkpoint.config, key) for key in SIZE_FIELDS})
    lower_case, keep_accents = tokenization.text
    text += "\nText is {}lower-cased and keeps {}accents.\n".format(
        "" if lower_case else "not ", "its " if keep_accents else "no "
    )
    return text


def _data(manifest: Optional[Manifest]) -> Dict[str, object]:
    if not manifest:
        return {}
    names = ("documents", "examples", "tokens", "max_seq_length", "masking", "sentence_task")
    shown = {name: getattr(manifest, name) for name in names}
    shown["loss of a model that knows word frequencies alone"] = manifest.unigram_entropy
    return shown


def _table(title: str, values: Mapping[str, object]) -> str:
    if not values:
        return ""
    lines: List[str] = ["", "## " + title, "", "| | |", "|---|---|"]
    for name, value in values.items():
        shown = "{:.4f}".format(value) if isinstance(value, float) else value
        lines.append("| {} | {} |".format(name, shown))
    return "\n".join(lines) + "\n"
