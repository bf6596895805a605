"""Which key of a transformers model holds which of our weights: the one map, for both directions.

google's layout has the keys of `AlbertForPreTraining`; brightmart's those of the model in
`remote_code/`.
"""

import dataclasses
from typing import Dict, List, Mapping, NamedTuple, Optional, Union

import numpy as np

from albert.checkpoints.parts import check_numbers, specs_there
from albert.checkpoints.restore import weights_from
from albert.model.config import ModelConfig
from albert.model.parameters import (
    HEAD_BIAS,
    HEAD_WEIGHTS,
    Block,
    Dense,
    Norm,
    ParameterSpec,
    head_specs,
    parameter_tree,
)
from albert.system.errors import UsageError

# Tied to other weights or made by the class itself; files of older versions hold them.
_WORDS, _WORDS_COPY = "albert.embeddings.word_embeddings.weight", "predictions.decoder.weight"
_OUTPUT_BIAS, _OUTPUT_BIAS_COPY = "predictions.bias", "predictions.decoder.bias"
_MAPPING = "albert.encoder.embedding_hidden_mapping_in."


class Key(NamedTuple):
    """Where a weight lies; torch stores a linear map as [outputs, inputs]."""

    name: str
    transposed: bool


def encoder_keys(config: ModelConfig) -> Dict[str, Key]:
    """The keys of embeddings, blocks and pooler, by our names."""
    tree = parameter_tree(config)
    keys: Dict[str, Key] = {}
    tables, prefix = tree.embeddings, "albert.embeddings."
    _table(keys, prefix + "word_embeddings.weight", tables.word)
    _table(keys, prefix + "token_type_embeddings.weight", tables.token_type)
    if tables.position is not None:
        _table(keys, prefix + "position_embeddings.weight", tables.position)
    _norm(keys, prefix + "LayerNorm", tables.norm)
    if tables.projection is not None:
        in_lookup = config.layout == "brightmart"
        _dense(keys, prefix + "projection" if in_lookup else _MAPPING[:-1], tables.projection)
    for number, block in enumerate(tree.blocks):
        _block(keys, config, number, block)
    if tree.final_norm is not None:
        _norm(keys, "albert.encoder.LayerNorm", tree.final_norm)
    if tree.pooler is not None:
        _dense(keys, "albert.pooler", tree.pooler)
    return keys


def pretraining_keys(config: ModelConfig) -> Dict[str, Key]:
    """The keys of encoder and both heads, by our names."""
    keys = encoder_keys(config)
    tree = parameter_tree(config)
    if tree.masked_lm is not None:
        _dense(keys, "predictions.dense", tree.masked_lm.transform)
        _norm(keys, "predictions.LayerNorm", tree.masked_lm.norm)
        _table(keys, _OUTPUT_BIAS, tree.masked_lm.output_bias)
    if tree.sentence_order is not None:
        _table(keys, "sop_classifier.classifier.weight", tree.sentence_order.output_weights)
        _table(keys, "sop_classifier.classifier.bias", tree.sentence_order.output_bias)
    return keys


def _keys(config: ModelConfig, fine_tuned: Union[bool, int], head: str) -> Dict[str, Key]:
    keys = pretraining_keys(config)
    if fine_tuned:
        keys[HEAD_WEIGHTS] = Key(head + ".weight", False)
        keys[HEAD_BIAS] = Key(head + ".bias", False)
    return keys


def to_huggingface(
    config: ModelConfig, weights: Mapping[str, np.ndarray], head: str = "classifier"
) -> Dict[str, np.ndarray]:
    """Our weights under transformers' keys, of a pre-trained or a fine-tuned model."""
    tensors = {
        key.name: np.ascontiguousarray(weights[name].T if key.transposed else weights[name])
        for name, key in _keys(config, HEAD_WEIGHTS in weights, head).items()
        if name in weights
    }
    if _needs_identity(config):
        tensors[_MAPPING + "weight"] = np.eye(config.hidden_size, dtype=np.float32)
        tensors[_MAPPING + "bias"] = np.zeros(config.hidden_size, np.float32)
    return tensors


def from_huggingface(
    config: ModelConfig,
    tensors: Mapping[str, np.ndarray],
    source: str,
    labels: int = 0,
    head: str = "classifier",
) -> Dict[str, np.ndarray]:
    """The weights in a transformers file by our names, float32; pooler and heads may be absent.

    Args:
      config: The model.
      tensors: By key.
      source: What a message calls it.
      labels: Of a fine-tuned model, whose head must be there; 0 of a pre-trained one.
      head: What transformers calls that head.

    Raises:
      UsageError: A weight of the encoder is missing, one has another shape than the config says or
        holds what is no number, or the file holds a model that has no equal here.
    """
    tensors = {_full_name(key): value for key, value in tensors.items()}
    _check_equal_model(config, tensors, source)
    if _OUTPUT_BIAS not in tensors and _OUTPUT_BIAS_COPY in tensors:
        tensors[_OUTPUT_BIAS] = tensors[_OUTPUT_BIAS_COPY]
    keys = _keys(config, labels, head)
    ours = specs_there(config, [name for name, key in keys.items() if key.name in tensors])
    ours.update(head_specs(config, labels) if labels else {})
    specs = {
        keys[name].name: dataclasses.replace(spec, shape=spec.shape[::-1])
        if keys[name].transposed
        else spec
        for name, spec in ours.items()
    }
    fix = "Its config.json is of another model, or the folder is not whole."
    found = weights_from(tensors, specs, source + " does not fit its config.json", fix)
    check_numbers({name: tensors[name] for name in specs}, source)
    return {
        name: np.ascontiguousarray(found[key.name].T if key.transposed else found[key.name])
        for name, key in keys.items()
        if key.name in found
    }


def unused_keys(
    config: ModelConfig,
    tensors: Mapping[str, np.ndarray],
    labels: int = 0,
    head: str = "classifier",
) -> List[str]:
    """Keys of a transformers file that hold neither a weight of ours nor a copy of one."""
    known = {key.name for key in _keys(config, labels, head).values()}
    known |= {_WORDS_COPY, _OUTPUT_BIAS_COPY, _MAPPING + "weight", _MAPPING + "bias"}
    buffers = ("position_ids", "token_type_ids")
    return sorted(k for k in tensors if _full_name(k) not in known and not k.endswith(buffers))


def _full_name(key: str) -> str:
    # A bare AlbertModel is saved without the name of its part.
    return "albert." + key if key.split(".")[0] in ("embeddings", "encoder", "pooler") else key


def _check_equal_model(config: ModelConfig, tensors: Mapping[str, np.ndarray], source: str) -> None:
    for copy, own, what in (
        (_WORDS_COPY, _WORDS, "an output embedding of its own ({}); ALBERT here uses {} for both"),
        (_OUTPUT_BIAS_COPY, _OUTPUT_BIAS, "two output biases ({} and {}) that differ"),
    ):
        required = own == _WORDS or own in tensors
        if copy in tensors and required and not _same(tensors[copy], tensors.get(own)):
            raise UsageError(
                "{} has {}, so the model cannot be imported.".format(source, what.format(copy, own))
            )
    if not _needs_identity(config) or _MAPPING + "weight" not in tensors:
        return
    kernel, bias = tensors[_MAPPING + "weight"], tensors[_MAPPING + "bias"]
    if not np.array_equal(kernel, np.eye(config.hidden_size)) or np.any(bias):
        raise UsageError(
            "{} projects its embedding although embedding_size equals hidden_size ({}); the "
            "original layout has no such projection, so the model cannot be imported.".format(
                source, config.hidden_size
            )
        )


def _same(one: np.ndarray, other: Optional[np.ndarray]) -> bool:
    """Whether two tensors hold the same bytes; NaN is told elsewhere, by its name."""
    return other is not None and one.shape == other.shape and one.tobytes() == other.tobytes()


def _needs_identity(config: ModelConfig) -> bool:
    """Whether only transformers projects the embedding: Google's code not where widths agree."""
    return config.layout == "google" and config.embedding_size == config.hidden_size


def _block(keys: Dict[str, Key], config: ModelConfig, number: int, block: Block) -> None:
    if config.layout == "google":
        layer, inner = divmod(number, config.inner_group_num)
        group = layer * config.num_hidden_groups // config.num_hidden_layers
        scope = "albert.encoder.albert_layer_groups.{}.albert_layers.{}.".format(group, inner)
        attention, feed_forward = scope + "attention.", scope
        names = ("ffn", "ffn_output", "full_layer_layer_norm")
    else:
        own_attention = config.shared_type in ("ffn", "none")
        own_ffn = config.shared_type in ("attention", "none")
        attention = "albert.encoder.attentions.{}.".format(number if own_attention else 0)
        feed_forward = "albert.encoder.feed_forwards.{}.".format(number if own_ffn else 0)
        names = ("intermediate", "output", "LayerNorm")
    _dense(keys, attention + "query", block.query)
    _dense(keys, attention + "key", block.key)
    _dense(keys, attention + "value", block.value)
    _dense(keys, attention + "dense", block.attention_output)
    _norm(keys, attention + "LayerNorm", block.attention_norm)
    _dense(keys, feed_forward + names[0], block.intermediate)
    _dense(keys, feed_forward + names[1], block.output)
    _norm(keys, feed_forward + names[2], block.output_norm)
    if block.gate is not None:
        _dense(keys, feed_forward + "gate", block.gate)


def _table(keys: Dict[str, Key], name: str, spec: ParameterSpec) -> None:
    keys[spec.name] = Key(name, False)


def _dense(keys: Dict[str, Key], name: str, specs: Dense) -> None:
    keys[specs.kernel.name] = Key(name + ".weight", True)
    if specs.bias is not None:
        keys[specs.bias.name] = Key(name + ".bias", False)


def _norm(keys: Dict[str, Key], name: str, specs: Norm) -> None:
    keys[specs.gamma.name] = Key(name + ".weight", False)
    keys[specs.beta.name] = Key(name + ".bias", False)
