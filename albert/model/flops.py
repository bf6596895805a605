"""How much arithmetic a batch takes; layers that share weights count as often as they run."""

from typing import Optional

from albert.model.config import ModelConfig
from albert.model.parameters import parameter_tree

# Forward, and twice that backward: once for the inputs' gradient, once for the weights'.
TRAINING_FACTOR = 3


def training_flops(
    config: ModelConfig,
    batch: int,
    length: int,
    predictions: int,
    last_block: Optional[int] = None,
) -> float:
    """Floating-point operations of matrix products in one training step.

    Args:
      config: The model.
      batch: B.
      length: S; padding is computed like text.
      predictions: P.
      last_block: Positions of an example at which the last block is computed; None for all, as
        a model's operations are usually counted.
    """
    e, d, i = config.embedding_size, config.hidden_size, config.intermediate_size
    blocks = len(parameter_tree(config).blocks)

    def block(positions: int) -> int:
        keys_and_values = 2 * 2 * d * d
        linear = 2 * (2 * d * d + (3 if config.gated else 2) * d * i)
        if config.attention == "nystrom":
            return length * keys_and_values + positions * linear + _nystrom(config, length)
        return length * keys_and_values + positions * (linear + 4 * length * d)

    transform = d * e if config.layout == "google" else d * d + d * e
    per_prediction = 2 * (transform + e * config.vocab_size)
    encoder = (blocks - 1) * block(length) + block(last_block or length) + length * 2 * e * d
    per_example = encoder + predictions * per_prediction + 2 * (d * d + 2 * d)
    return float(TRAINING_FACTOR * batch * per_example)


def _nystrom(config: ModelConfig, length: int) -> int:
    """Of the attention of one block, whose landmarks need every query."""
    d, m = config.hidden_size, config.num_landmarks
    means = 3 * 2 * m * length * d
    scores_and_contexts = 4 * 2 * m * length * d
    between = 2 * m * m * d + config.num_attention_heads * config.inverse_iterations * 8 * m**3
    convolution = 2 * config.conv_kernel_size * length * d
    return means + scores_and_contexts + between + convolution
