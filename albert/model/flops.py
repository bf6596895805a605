"""How much arithmetic a batch takes; layers that share weights count as often as they run."""

from albert.config import ModelConfig
from albert.model.parameters import parameter_tree

# Forward, and twice that backward: once for the inputs' gradient, once for the weights'.
TRAINING_FACTOR = 3


def training_flops(config: ModelConfig, batch: int, length: int, predictions: int) -> float:
    """Floating-point operations of matrix products in one training step.

    Args:
      config: The model.
      batch: B.
      length: S; padding is computed like text.
      predictions: P.
    """
    e, d, i = config.embedding_size, config.hidden_size, config.intermediate_size
    blocks = len(parameter_tree(config).blocks)
    block = 2 * (4 * d * d + 2 * d * i) + 4 * length * d  # linear maps; scores and contexts
    per_token = blocks * block + 2 * e * d
    transform = d * e if config.layout == "google" else d * d + d * e
    per_prediction = 2 * (transform + e * config.vocab_size)
    per_example = length * per_token + predictions * per_prediction + 2 * (d * d + 2 * d)
    return float(TRAINING_FACTOR * batch * per_example)
