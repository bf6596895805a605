"""Which tensors a model has, what they are called in a checkpoint, and where each is used.

The tree built here holds a `ParameterSpec` at each leaf. Binding it to tensors gives the model
its weights; listing its leaves gives the checkpoint its names. Both published layouts differ from
each other only in this file and at three marked places of the computation.
"""

import dataclasses
import functools
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from albert.model.config import ModelConfig

FINAL_NORM = "bert/encoder/LayerNorm"
POSITIONS = "bert/embeddings/position_embeddings"
# Of fine-tuned models, as in Google's run_classifier.py; [labels, D] and [labels].
HEAD_WEIGHTS, HEAD_BIAS = "output_weights", "output_bias"


@dataclasses.dataclass(frozen=True)
class ParameterSpec:
    """One weight: its name in a checkpoint, shape and initial value.

    Attributes:
      initial: "normal", "zeros" or "ones".
      deviation: Standard deviation of normal values; None for the config's.
    """

    name: str
    shape: Tuple[int, ...]
    initial: str
    deviation: Optional[float] = None


class Dense(NamedTuple):
    """A linear map."""

    kernel: Any  # [inputs, outputs]
    bias: Any  # [outputs], or None


class Norm(NamedTuple):
    """Scale and shift of a layer normalisation."""

    beta: Any
    gamma: Any


class Embeddings(NamedTuple):
    """Lookup tables; `projection` maps E to D, after the norm (google) or before (brightmart).

    google has no projection where E = D.
    """

    word: Any  # [V, E]
    projection: Optional[Dense]
    token_type: Any
    position: Optional[Any]  # None where positions are rotary
    norm: Norm


class Block(NamedTuple):
    """One attention and one feed-forward sub-layer."""

    query: Dense
    key: Dense
    value: Dense
    attention_output: Dense
    attention_norm: Norm
    intermediate: Dense
    output: Dense
    output_norm: Norm
    gate: Optional[Dense]  # of a gated feed-forward layer, like `intermediate`
    convolution: Optional[Any]  # [K, N], of Nystrom attention: one filter a head


class MaskedLmHead(NamedTuple):
    """Transform before the tied output embedding, and the output bias [V]."""

    transform: Dense
    norm: Norm
    output_bias: Any


class SentenceHead(NamedTuple):
    """Binary classifier on the pooled output; `output_weights` is [2, D], not transposed."""

    output_weights: Any
    output_bias: Any


class Parameters(NamedTuple):
    """All weights; `blocks` in order of application, a shared block as often as it runs.

    The heads are None where only the encoder is meant, and so is the pooler where it is not used.
    """

    embeddings: Embeddings
    blocks: Tuple[Block, ...]
    final_norm: Optional[Norm]
    pooler: Optional[Dense]
    masked_lm: Optional[MaskedLmHead]
    sentence_order: Optional[SentenceHead]


def parameter_tree(config: ModelConfig) -> Parameters:
    """The specs of a model in the places where the computation uses them."""
    hidden = config.hidden_size
    google = config.layout == "google"
    # google: tables and masked-LM transform are E wide; brightmart: D wide.
    inner = config.embedding_size if google else hidden
    return Parameters(
        embeddings=_embeddings(config, inner),
        blocks=_google_blocks(config) if google else _brightmart_blocks(config),
        final_norm=_norm(FINAL_NORM, hidden) if config.final_layer_norm else None,
        pooler=_dense("bert/pooler/dense", hidden, hidden),
        masked_lm=MaskedLmHead(
            transform=_dense("cls/predictions/transform/dense", hidden, inner),
            norm=_norm("cls/predictions/transform/LayerNorm", inner),
            output_bias=ParameterSpec("cls/predictions/output_bias", (config.vocab_size,), "zeros"),
        ),
        sentence_order=SentenceHead(
            output_weights=ParameterSpec(
                "cls/seq_relationship/output_weights", (2, hidden), "normal"
            ),
            output_bias=ParameterSpec("cls/seq_relationship/output_bias", (2,), "zeros"),
        ),
    )


def encoder_tree(config: ModelConfig) -> Parameters:
    """The specs without the pre-training heads: what fine-tuning starts from."""
    return parameter_tree(config)._replace(masked_lm=None, sentence_order=None)


def parameter_specs(config: ModelConfig) -> Dict[str, ParameterSpec]:
    """Every weight of a pre-training model by name."""
    return specs_of(parameter_tree(config))


def head_specs(config: ModelConfig, labels: int) -> Dict[str, ParameterSpec]:
    """The two weights of a fine-tuned model's head, by name."""
    return {
        HEAD_WEIGHTS: ParameterSpec(HEAD_WEIGHTS, (labels, config.hidden_size), "normal"),
        HEAD_BIAS: ParameterSpec(HEAD_BIAS, (labels,), "zeros"),
    }


def specs_of(tree: Any) -> Dict[str, ParameterSpec]:
    """Every weight of a tree, or a part of one, once, by name, in the order of the computation."""
    specs: Dict[str, ParameterSpec] = {}
    _map_leaves(lambda spec: specs.setdefault(spec.name, spec), tree)
    return specs


def bind(tree: Parameters, tensors: Mapping[str, Any]) -> Parameters:
    """Puts named tensors where the computation uses them.

    Args:
      tree: Of `parameter_tree` or `encoder_tree`.
      tensors: By name; may hold more than is used.

    Raises:
      KeyError: Parameters are missing from `tensors`; the message lists them all.
    """
    missing = [name for name in specs_of(tree) if name not in tensors]
    if missing:
        raise KeyError("Missing parameters: {}".format(", ".join(missing)))
    return _map_leaves(lambda spec: tensors[spec.name], tree)


def _map_leaves(function: Callable[[ParameterSpec], Any], tree: Any) -> Any:
    if isinstance(tree, ParameterSpec):
        return function(tree)
    if tree is None:
        return None
    children = [_map_leaves(function, child) for child in tree]
    return type(tree)(*children) if hasattr(tree, "_fields") else tuple(children)


def _dense(scope: str, inputs: int, outputs: int, bias: bool = True) -> Dense:
    return Dense(
        ParameterSpec(scope + "/kernel", (inputs, outputs), "normal"),
        ParameterSpec(scope + "/bias", (outputs,), "zeros") if bias else None,
    )


def _norm(scope: str, width: int) -> Norm:
    return Norm(
        ParameterSpec(scope + "/beta", (width,), "zeros"),
        ParameterSpec(scope + "/gamma", (width,), "ones"),
    )


def _embeddings(config: ModelConfig, width: int) -> Embeddings:
    scope = "bert/embeddings/"
    shape = (config.embedding_size, config.hidden_size)
    if config.layout == "google":
        same = shape[0] == shape[1]
        projection = None if same else _dense("bert/encoder/embedding_hidden_mapping_in", *shape)
    else:
        deviation = config.projection_initializer_range or None
        kernel = ParameterSpec(scope + "word_embeddings_2", shape, "normal", deviation)
        projection = Dense(kernel, None)
    position = None
    if config.position_embedding_type == "absolute":
        shape = (config.max_position_embeddings, width)
        position = ParameterSpec(POSITIONS, shape, "normal")
    return Embeddings(
        word=ParameterSpec(
            scope + "word_embeddings", (config.vocab_size, config.embedding_size), "normal"
        ),
        projection=projection,
        token_type=ParameterSpec(
            scope + "token_type_embeddings", (config.type_vocab_size, width), "normal"
        ),
        position=position,
        norm=_norm(scope + "LayerNorm", width),
    )


def _google_blocks(config: ModelConfig) -> Tuple[Block, ...]:
    blocks: List[Block] = []
    for layer in range(config.num_hidden_layers):
        # Integer arithmetic: the original's float index misplaces layers for some sizes.
        group = layer * config.num_hidden_groups // config.num_hidden_layers
        for inner in range(config.inner_group_num):
            scope = "bert/encoder/transformer/group_{}/inner_group_{}/".format(group, inner)
            blocks.append(
                _block(
                    config,
                    attention=scope + "attention_1/",
                    attention_norm=scope + "LayerNorm",
                    intermediate=scope + "ffn_1/intermediate/dense",
                    output=scope + "ffn_1/intermediate/output/dense",
                    output_norm=scope + "LayerNorm_1",
                )
            )
    return tuple(blocks)


def _brightmart_blocks(config: ModelConfig) -> Tuple[Block, ...]:
    shared = config.shared_type
    blocks: List[Block] = []
    for layer in range(config.num_hidden_layers):
        suffix = "_{}".format(layer)
        scope = "bert/encoder/layer{}/".format(suffix if shared == "none" else "_shared")
        own_attention = suffix if shared == "ffn" else ""
        own_ffn = suffix if shared == "attention" else ""
        attention = scope + "attention" + own_attention + "/"
        output = scope + "output" + own_ffn
        blocks.append(
            _block(
                config,
                attention=attention,
                attention_norm=attention + "output/LayerNorm",
                intermediate=scope + "intermediate" + own_ffn + "/dense",
                output=output + "/dense",
                output_norm=output + "/LayerNorm",
            )
        )
    return tuple(blocks)


def _block(
    config: ModelConfig,
    attention: str,
    attention_norm: str,
    intermediate: str,
    output: str,
    output_norm: str,
) -> Block:
    hidden, middle = config.hidden_size, config.intermediate_size
    dense = functools.partial(_dense, bias=config.use_bias)
    convolution = None
    if config.attention == "nystrom":
        shape = (config.conv_kernel_size, config.num_attention_heads)
        convolution = ParameterSpec(attention + "self/convolution", shape, "normal")
    return Block(
        query=dense(attention + "self/query", hidden, hidden),
        key=dense(attention + "self/key", hidden, hidden),
        value=dense(attention + "self/value", hidden, hidden),
        attention_output=dense(attention + "output/dense", hidden, hidden),
        attention_norm=_norm(attention_norm, hidden),
        intermediate=dense(intermediate, hidden, middle),
        output=dense(output, middle, hidden),
        output_norm=_norm(output_norm, hidden),
        gate=dense(intermediate + "_gate", hidden, middle) if config.gated else None,
        convolution=convolution,
    )
