"""The README of a release: the model's own numbers and how to go on from it."""

from typing import Mapping

from albert.checkpoints.folder import Checkpoint
from albert.formats.huggingface.card import numbers, title
from albert.text.tokenization import Tokenization

_USE = """
## Use

`sha256sum -c SHA256SUMS` checks the files. `model.ckpt-best` is a TensorFlow checkpoint of the
weights alone, under the names of the {layout} layout. With the system that trained it:

```bash
python -m albert verify --archive={name}.tar.gz
python -m albert import --source={name}.tar.gz --output_dir=imported
```
"""


def readme(
    checkpoint: Checkpoint, tokenization: Tokenization, flags: Mapping[str, str], name: str
) -> str:
    """The text of README.md.

    Args:
      checkpoint: The model and its evaluation.
      tokenization: How text becomes ids.
      flags: Of the training run, if it is known.
      name: Of the release.
    """
    use = _USE.format(layout=checkpoint.config.layout, name=name)
    return title(checkpoint) + use + numbers(checkpoint, tokenization, flags)
