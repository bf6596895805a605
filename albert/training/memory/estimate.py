"""How much memory a training step will take, estimated before it runs.

Counts what the backward pass keeps of each layer; docs/performance.md compares it with measured
peaks.
"""

import collections
from typing import Mapping, NamedTuple

import numpy as np

from albert.model.blocks.attention import QUERY_BLOCK
from albert.model.config import ModelConfig
from albert.model.parameters import parameter_specs, parameter_tree, specs_of
from albert.training.step.step import StepOptions

_FLOAT = 4  # bytes of float32
_SLOTS = 2  # Adam's moments; Muon keeps one for its kernels
# TensorFlow itself, its compiled kernels, the graph of a step and what the allocator holds back.
_PROGRAM = 850 * 10**6
# Copies of all weights that peaks hold beside those counted, whatever the batch: what the update
# computes (new weights and slots, and what it replaces) and does not give back. Fitted.
_UPDATE_COPIES = 7


class StepShape(NamedTuple):
    """What one tower computes on at a time: one micro-batch.

    Attributes:
      rows: B of the micro-batch.
      length: S.
      predictions: P; 0 without a masked-LM head.
      packed: Whether rows hold several examples each.
    """

    rows: int
    length: int
    predictions: int
    packed: bool = False


class Estimate(NamedTuple):
    """Bytes on one device, for all towers there.

    Attributes:
      program: TensorFlow and the graph; none on a GPU.
      state: Weights and slots.
      gradients: Of every tower, with those of one block before they are added to the sum.
      activations: What the backward pass keeps, and what it works with.
      update: What the optimizer computes with, and keeps until the next step.
    """

    program: int
    state: int
    gradients: int
    activations: int
    update: int

    @property
    def total(self) -> int:
        """The peak."""
        return self.program + self.state + self.gradients + self.activations + self.update


def step_shape(batch: Mapping[str, np.ndarray], parts: int) -> StepShape:
    """The shape of a micro-batch when a batch, laid out as rows, is divided into `parts`."""
    rows, length = batch["input_ids"].shape
    predictions = batch["masked_lm_ids"].shape[1] if "masked_lm_ids" in batch else 0
    return StepShape(-(-rows // parts), length, predictions, "position_ids" in batch)


def estimate_memory(
    config: ModelConfig, shape: StepShape, options: StepOptions, towers: int, on_gpu: bool
) -> Estimate:
    """Estimates the peak of a step.

    Args:
      config: The model.
      shape: Of one micro-batch.
      options: How the step is computed.
      towers: Towers that share the memory of one device.
      on_gpu: Whether that is a GPU's, where the program itself is not.
    """
    weights = _FLOAT * sum(int(np.prod(spec.shape)) for spec in parameter_specs(config).values())
    width = _FLOAT if options.precision == "float32" else 2
    gradients = weights + _block_gradients(config, width)
    if options.precision != "float32":
        gradients += weights // 2  # the weights cast for computing
    if options.accumulation > 1:
        gradients += 2 * weights  # the sum so far, and the next
    return Estimate(
        program=0 if on_gpu else _PROGRAM,
        state=(1 + _SLOTS) * weights,
        gradients=towers * gradients,
        activations=towers * _activations(config, shape, width, options.recompute),
        update=_UPDATE_COPIES * weights,
    )


def _block_gradients(config: ModelConfig, width: int) -> int:
    """Bytes of the gradients of one block's shared weights: a copy beside the sum over blocks."""
    blocks = [
        {name: int(np.prod(spec.shape)) for name, spec in specs_of(block).items()}
        for block in parameter_tree(config).blocks
    ]
    uses = collections.Counter(name for block in blocks for name in block)
    return width * max(
        sum(size for name, size in block.items() if uses[name] > 1) for block in blocks
    )


def _activations(config: ModelConfig, shape: StepShape, width: int, recompute: bool) -> int:
    tokens = shape.rows * shape.length
    blocks = len(parameter_tree(config).blocks)
    kept = _kept_of_a_block(config, shape, width, shape.length)
    if recompute:
        kept += blocks * tokens * config.hidden_size * width  # each block's input
    else:
        # All that the last block computes; without predictions a task's head may read everything.
        read = min(shape.length, shape.predictions + 1) if shape.predictions else shape.length
        kept = (blocks - 1) * kept + _kept_of_a_block(config, shape, width, read)
    embedded = tokens * width * (4 * config.embedding_size + config.hidden_size)
    return kept + embedded + max(_head(config, shape, width), _working(config, shape, width))


def _kept_of_a_block(config: ModelConfig, shape: StepShape, width: int, positions: int) -> int:
    """Bytes that the backward pass of a block needs, computed at some positions of each row."""
    inputs = 3 * width * config.hidden_size  # and key and value, of every token
    # Query, joined heads, middle; what each norm needs. GELU's input and output.
    middle = (4 if config.gated else 2) * config.intermediate_size  # with the gate, the product
    kept = width * (5 * config.hidden_size + middle)
    if config.hidden_dropout_prob:
        kept += width * 2 * config.hidden_size
    weights = config.num_attention_heads * shape.length
    if config.attention == "nystrom":
        return shape.rows * (
            shape.length * inputs + positions * kept + _kept_of_nystrom(config, shape.length, width)
        )
    if config.attention_probs_dropout_prob:
        kept += weights * (3 * _FLOAT + (width if width < _FLOAT else 0))
    else:
        kept += width * config.hidden_size  # the heads' output, from which comes softmax's gradient
        if positions <= QUERY_BLOCK:
            kept += weights * _FLOAT
    return shape.rows * (shape.length * inputs + positions * kept)


def _kept_of_nystrom(config: ModelConfig, length: int, width: int) -> int:
    """Bytes of an example's two sets of weights, its inverses and its values side by side."""
    landmarks = config.num_landmarks
    scores = 2 * length + 4 * config.inverse_iterations * landmarks
    values = length * config.hidden_size * (3 * _FLOAT + width)
    return config.num_attention_heads * landmarks * scores * _FLOAT + values


def _working(config: ModelConfig, shape: StepShape, width: int) -> int:
    """Bytes the backward pass of a block needs for a moment."""
    tokens = shape.rows * shape.length
    keys = shape.length
    if config.attention == "nystrom":
        keys = config.num_landmarks
    elif not config.attention_probs_dropout_prob:
        keys = min(keys, QUERY_BLOCK)
    scores = 3 * _FLOAT * config.num_attention_heads * keys
    bias = _FLOAT * shape.length if shape.packed else 0
    linear = width * (4 * config.hidden_size + 2 * config.intermediate_size)
    return tokens * (max(scores, linear) + bias)


def _head(config: ModelConfig, shape: StepShape, width: int) -> int:
    """Bytes of the scores over the vocabulary: their softmax and its gradient, float32."""
    copies = 2 * _FLOAT + (2 * width if width < _FLOAT else 0)
    return shape.rows * shape.predictions * config.vocab_size * copies
