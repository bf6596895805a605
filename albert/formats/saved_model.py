"""SavedModels: a model as functions of any batch, served by TensorFlow without this package."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import Any, Callable, Dict, Iterator, Mapping, NamedTuple

import numpy as np
from absl import logging

from albert.compat import plain_operations, tf
from albert.model.albert import PretrainingOutput, bound, encoder_output, pretraining_output
from albert.model.config import ModelConfig
from albert.model.parameters import parameter_tree
from albert.system.files.disk import os_errors

Tensors = Mapping[str, "tf.Tensor"]
IDS = {name: (None, None) for name in ("input_ids", "input_mask", "segment_ids")}  # [B, S]
_POSITIONS = "masked_lm_positions"
_DEFAULT = "serving_default"  # what servers take where a request names no signature


class Signature(NamedTuple):
    """A function to serve.

    Attributes:
      function: From (weights, inputs), both by name, to outputs by name.
      inputs: Shape of each int32 input; None for what a request decides.
      longest: Most pieces of a row.
    """

    function: Callable[[Tensors, Tensors], Tensors]
    inputs: Dict[str, tuple]
    longest: int


def pretraining_signatures(config: ModelConfig) -> Dict[str, Signature]:
    """encode, fill_mask and sentence_order.

    All take input_ids, input_mask (1 for text, 0 for padding) and segment_ids, [B, S].
      encode: sequence_output [B, S, D] and pooled_output [B, D].
      fill_mask: with masked_lm_positions [B, P], logits of all pieces [B, P, V].
      sentence_order: logits of "in order" and "swapped", [B, 2].
    """

    def run(weights: Tensors, inputs: Tensors) -> PretrainingOutput:
        # Without predictions asked for, the masked-LM head scores none.
        none = inputs["input_ids"][:, :0]
        return pretraining_output(config, weights, dict({_POSITIONS: none}, **inputs))

    def encode(weights: Tensors, inputs: Tensors) -> Tensors:
        encoder = encoder_output(config, bound(parameter_tree(config), weights), inputs)
        return {"sequence_output": encoder.sequence, "pooled_output": encoder.pooled}

    def fill_mask(weights: Tensors, inputs: Tensors) -> Tensors:
        return {"logits": run(weights, inputs).masked_lm_logits}

    def sentence_order(weights: Tensors, inputs: Tensors) -> Tensors:
        return {"logits": run(weights, inputs).sentence_order_logits}

    longest = config.max_position_embeddings
    return {
        "encode": Signature(encode, IDS, longest),
        "fill_mask": Signature(fill_mask, dict(IDS, **{_POSITIONS: (None, None)}), longest),
        "sentence_order": Signature(sentence_order, IDS, longest),
    }


def write_pretraining_model(
    directory: str,
    config: ModelConfig,
    weights: Mapping[str, np.ndarray],
) -> None:
    """Writes a SavedModel of a whole pre-training model; see `write_saved_model`."""
    write_saved_model(directory, weights, pretraining_signatures(config), {})


def write_saved_model(
    directory: str,
    weights: Mapping[str, np.ndarray],
    signatures: Mapping[str, Signature],
    extra: Mapping[str, str],
) -> None:
    """Writes a SavedModel, with the first signature as `serving_default`, too.

    A row with more pieces than the model takes is refused with both numbers.

    Args:
      directory: Where; a SavedModel that lies there is replaced.
      weights: By name; stored once, whatever the number of signatures.
      signatures: By name.
      extra: Files to put beside, in `assets.extra`: name there to path.

    Raises:
      OSError: The disk is full, or may not be written.
    """
    module = weights_module(weights)
    with plain_operations():
        functions = {
            name: served(module, signature).get_concrete_function()
            for name, signature in signatures.items()
        }
        functions[_DEFAULT] = functions[next(iter(signatures))]
        with quiet(), os_errors(directory):
            tf.saved_model.save(module, directory, signatures=functions)
    folder = os.path.join(directory, "assets.extra")
    os.makedirs(folder, exist_ok=True)
    for name, path in extra.items():
        shutil.copyfile(path, os.path.join(folder, name))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drops TensorFlow's notes on its own progress and on names nobody sees."""
    kept = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(kept)


def weights_module(weights: Mapping[str, np.ndarray]) -> tf.Module:
    """Weights as variables, by name in `weights`."""
    module = tf.Module()
    module.weights = {name: tf.Variable(value) for name, value in weights.items()}
    return module


def served(module: tf.Module, signature: Signature) -> Any:
    """A signature as a `tf.function` of its inputs, in order of their names."""
    names = sorted(signature.inputs)
    specs = [tf.TensorSpec(signature.inputs[name], tf.int32, name) for name in names]

    def function(*inputs: tf.Tensor) -> Tensors:
        weights = {name: tf.identity(variable) for name, variable in module.weights.items()}
        batch = dict(zip(names, inputs))
        tf.debugging.assert_less_equal(
            tf.shape(batch["input_ids"])[1],
            signature.longest,
            "A row has more pieces than the {} the model takes.".format(signature.longest),
        )
        return signature.function(weights, batch)

    return tf.function(function, input_signature=specs, autograph=False)
