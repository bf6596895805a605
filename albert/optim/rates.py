"""Which peak learning rate suits a run, and a warning for one that cannot work."""

import math
from typing import Optional

from albert.model.config import ModelConfig

# LAMB: the ALBERT paper's 1.76e-3 at batch 4096, by the square root of the batch (You et al., 2019,
# https://arxiv.org/abs/1904.00962).
_LAMB_RATE, _LAMB_BATCH = 1.76e-3, 4096
# A weight moves by rate x its own norm an update. Rates that add up to less than this over a run
# leave it near where it began: short runs need a higher rate than the paper's 125,000 updates.
# Above the highest, biases and norms, which have no trust ratio, break a post-LN encoder.
_LAMB_TRAVEL = 2.0
_LAMB_HIGHEST = 5e-3
# AdamW: 2e-3 at batch 64 is the best rate of a shared encoder of width 128 and depth 4; it falls
# with the path through the network, which agrees with the field's 1e-4 for base at batch 256.
# Muon's is twice as high; see docs/convergence.md.
_PEAKS = {"adamw": 2e-3, "muon": 4e-3}
_BATCH, _PATH = 64, 128 * 4
# AdamW on a pre-trained model: the field's 5e-5 for base (width 768, 12 layers) and 8e-4, the best
# of three for the tiny preset (312, 4), lie on this power of the path; see docs/transfer.md.
_FINETUNING_RATE, _FINETUNING_PATH, _FINETUNING_POWER = 5e-5, 768 * 12, 1.4
_FINETUNING_HIGHEST = 1e-3

# Outside of this share of the suggested rate runs are known to stay on the plateau or to diverge.
_LOWEST_SHARE, _HIGHEST_SHARE = 0.25, 4.0


def suggested_rate(
    optimizer: str, config: ModelConfig, batch_size: int, num_train_steps: int
) -> float:
    """The peak rate of `--learning_rate=auto`.

    Args:
      optimizer: "lamb", "adamw" or "muon".
      config: The model.
      batch_size: Global batch, examples.
      num_train_steps: Updates in the whole run.

    >>> suggested_rate("lamb", ModelConfig(vocab_size=30000), 4096, 125000)
    0.00176
    """
    if optimizer == "lamb":
        rate = _LAMB_RATE * math.sqrt(batch_size / _LAMB_BATCH)
        # A linear decay to 0 adds up to half of rate x updates.
        return max(rate, min(_LAMB_HIGHEST, 2.0 * _LAMB_TRAVEL / num_train_steps))
    highest = _PEAKS[optimizer]
    return min(highest, highest * math.sqrt(batch_size / _BATCH) * _PATH / _path(config))


def finetuning_rate(config: ModelConfig) -> float:
    """The peak rate of AdamW for the fine-tuning of a pre-trained model of this size."""
    rate = _FINETUNING_RATE * (_FINETUNING_PATH / _path(config)) ** _FINETUNING_POWER
    return min(rate, _FINETUNING_HIGHEST)


def _path(config: ModelConfig) -> int:
    return config.hidden_size * config.num_hidden_layers


def rate_warning(learning_rate: float, suggested: float) -> Optional[str]:
    """A sentence about a rate far outside the workable band, or None."""
    share = learning_rate / suggested
    if _LOWEST_SHARE <= share <= _HIGHEST_SHARE:
        return None
    return (
        "--learning_rate={:.3g} is {} the workable band for this optimizer, model and batch: the "
        "run is likely to {}. --learning_rate=auto would take {:.2g}.".format(
            learning_rate,
            "below" if share < 1.0 else "above",
            "stay on the plateau of word frequencies" if share < 1.0 else "diverge",
            suggested,
        )
    )
