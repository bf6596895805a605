"""What one ALBERT is: sizes and variants, read strictly from the field's JSON files."""

import dataclasses
import json
from typing import Any, Dict, List, Optional, Sequence, Tuple

from albert.model.limits import check_config
from albert.system.errors import UsageError, or_nearest, quoted
from albert.system.files.shipped import find_config
from albert.system.files.side import read_json_object

# What makes a model large or small.
SIZE_FIELDS = (
    "vocab_size",
    "embedding_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)

# Keys that configs in circulation carry and no ALBERT code reads.
_DEAD_GOOGLE_KEYS = ("net_structure_type", "gap_size", "num_memory_blocks", "down_scale_factor")
_DEAD_BRIGHTMART_KEYS = (
    "directionality",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
)
# A config file does not name its system; these keys give it away.
_BRIGHTMART_FIELDS = (
    "ln_type",
    "shared_type",
    "final_layer_norm",
    "projection_initializer_range",
)
_GOOGLE_FIELDS = ("num_hidden_groups", "inner_group_num")
_GOOGLE_KEYS = _DEAD_GOOGLE_KEYS + _GOOGLE_FIELDS
_BRIGHTMART_KEYS = _DEAD_BRIGHTMART_KEYS + _BRIGHTMART_FIELDS


# Fields that no published ALBERT has; left out of a file where they are as by default.
_VARIANTS = (
    "position_embedding_type",
    "use_bias",
    "residual_scale",
    "attention",
    "num_landmarks",
    "inverse_iterations",
    "conv_kernel_size",
)

# Fields that decide how new weights are made and trained, not what they compute.
_TRAINING_FIELDS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "initializer_range",
    "projection_initializer_range",
)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Sizes and variants of one ALBERT; field names are those of the published JSON files.

    Attributes:
      vocab_size: Pieces in the vocabulary, V.
      embedding_size: Width of the factorised word embedding, E.
      hidden_size: Width of the encoder, D.
      num_hidden_layers: Times the encoder applies a layer.
      num_attention_heads: Heads, N; divides `hidden_size`.
      intermediate_size: Width of the feed-forward layer, I.
      hidden_act: Activation of the feed-forward layer and of the masked-LM head; "geglu" is GELU
        with a gate in the layer (Shazeer, 2020, https://arxiv.org/abs/2002.05202).
      hidden_dropout_prob: Dropout on embeddings and on each sub-layer's output.
      attention_probs_dropout_prob: Dropout on attention weights.
      max_position_embeddings: Longest sequence.
      type_vocab_size: Number of segments.
      initializer_range: Standard deviation of the truncated normal of new weights.
      layout: "google" (Lan et al., 2019, https://arxiv.org/abs/1909.11942) or "brightmart"
        (albert_zh and the Malay project: projection inside the lookup, tied to the head).
      num_hidden_groups: google: groups of layers with weights of their own.
      inner_group_num: google: blocks that one layer applies in turn.
      ln_type: brightmart: "preln", or "postln" for albert_zh's later models. Nothing in a
        checkpoint tells them apart.
      shared_type: brightmart: which sub-layers share weights over the depth.
      final_layer_norm: brightmart, preln: whether the output of the stack is normalised. The
        published models have none, and a third of their pooler saturates from the start.
      projection_initializer_range: brightmart: standard deviation of the new projection from E to
        D; 0 for `initializer_range`, which leaves words at a fifth of the scale of positions.
      position_embedding_type: "absolute", a table; or "rotary", query and key turned by their
        position (Su et al., 2021, https://arxiv.org/abs/2104.09864).
      use_bias: Whether the linear maps of blocks have a bias.
      residual_scale: What a sub-layer's output is multiplied by before it is added. 1 / N for N
        passes of a shared pre-norm layer keeps the best rate the same at any depth.
      attention: "softmax", or "nystrom" (`albert.model.blocks.nystrom`).
      num_landmarks: nystrom: means of tokens that stand for all, M.
      inverse_iterations: nystrom: rounds that approach the inverse.
      conv_kernel_size: nystrom: tokens that a head's convolution of values spans; odd.
    """

    vocab_size: int
    embedding_size: int = 128
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layout: str = "google"
    num_hidden_groups: int = 1
    inner_group_num: int = 1
    ln_type: str = "preln"
    shared_type: str = "all"
    final_layer_norm: bool = False
    projection_initializer_range: float = 0.0
    position_embedding_type: str = "absolute"
    use_bias: bool = True
    residual_scale: float = 1.0
    attention: str = "softmax"
    num_landmarks: int = 64
    inverse_iterations: int = 6
    conv_kernel_size: int = 65

    def __post_init__(self) -> None:
        check_config(self)

    @classmethod
    def from_dict(cls, values: Dict[str, Any], source: str = "config") -> "ModelConfig":
        """Builds a config from the keys of a JSON file.

        Raises:
          UsageError: A key is unknown (the nearest known key is suggested), belongs to the other
            layout, or has a value of the wrong type or out of range.
        """
        values = dict(values)
        if "layout" not in values:
            values["layout"] = _infer_layout(values, source)
        fields = {field.name: field for field in dataclasses.fields(cls)}
        dead = _DEAD_GOOGLE_KEYS + _DEAD_BRIGHTMART_KEYS
        for key in values:
            if key not in fields and key not in dead:
                end = or_nearest(key, [*fields, *dead], "'{}'")
                raise UsageError("{} has an unknown key '{}'{}".format(source, key, end))
        if "vocab_size" not in values:
            raise UsageError(
                "{} has no vocab_size. Add the size of your vocabulary.".format(source)
            )
        if values.get("shared_type", "all") is None:
            values["shared_type"] = "none"  # albert_zh writes JSON null
        kept = {
            key: _typed(value, type(fields[key].default), key, source)
            for key, value in values.items()
            if key in fields and key != "vocab_size"
        }
        kept["vocab_size"] = _typed(values["vocab_size"], int, "vocab_size", source)
        try:
            return cls(**kept)
        except UsageError as error:
            raise UsageError("{}: {}".format(source, error)) from None

    @classmethod
    def from_json_file(cls, path: str) -> "ModelConfig":
        """Reads a config file; a bare name is also looked for in `albert_config/`.

        Raises:
          UsageError: The file is missing, is not a JSON object, or `from_dict` refuses it.
        """
        path = find_config(path)
        return cls.from_dict(read_json_object(path), source=path)

    @property
    def norm_placement(self) -> str:
        """Where blocks normalise: google after the residual, brightmart as configured."""
        return "postln" if self.layout == "google" else self.ln_type

    @property
    def gated(self) -> bool:
        """Whether the feed-forward layer has a gate."""
        return self.hidden_act == "geglu"

    @property
    def variants(self) -> List[str]:
        """What no published ALBERT has, "field=value" each."""
        names = (["hidden_act"] if self.gated else []) + self._changed_variants
        return ["{}={}".format(name, getattr(self, name)) for name in names]

    @property
    def _changed_variants(self) -> List[str]:
        return [
            field.name
            for field in dataclasses.fields(self)
            if field.name in _VARIANTS and getattr(self, field.name) != field.default
        ]

    def refuse_variants(self, system: str, known: Sequence[str] = ()) -> None:
        """Refuses what another system would compute without.

        Args:
          system: Its name, for the message.
          known: Fields that it knows all the same.

        Raises:
          UsageError: The model has a part that the system does not know.
        """
        unknown = [part for part in self.variants if part.partition("=")[0] not in known]
        if unknown:
            raise UsageError(
                "{} has no ALBERT with {}, so this model cannot be written for it. "
                "--format=savedmodel holds the computation itself.".format(
                    system, ", ".join(unknown)
                )
            )

    def difference(self, other: "ModelConfig") -> Optional[str]:
        """The first field in which two configs are different models; None if they are the same."""
        for field in dataclasses.fields(self):
            same = getattr(self, field.name) == getattr(other, field.name)
            if not same and field.name not in _TRAINING_FIELDS:
                return field.name
        return None

    def to_dict(self) -> Dict[str, Any]:
        """The keys of its layout, and those of parts that it has beyond the published models."""
        unused = set(_VARIANTS).difference(self._changed_variants)
        unused.update(other_layout_fields(self.layout))
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if name not in unused}

    def to_json(self) -> str:
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"


def other_layout_fields(layout: str) -> Tuple[str, ...]:
    """The fields that mean something in the other layout only."""
    return _BRIGHTMART_FIELDS if layout == "google" else _GOOGLE_FIELDS


def _infer_layout(values: Dict[str, Any], source: str) -> str:
    google = sorted(set(values) & set(_GOOGLE_KEYS))
    brightmart = sorted(set(values) & set(_BRIGHTMART_KEYS))
    if google and brightmart:
        raise UsageError(
            "{} mixes keys of two layouts: {} (google) and {} (brightmart). Add "
            '"layout": "google" or "layout": "brightmart".'.format(source, google[0], brightmart[0])
        )
    return "brightmart" if brightmart else "google"


def _typed(value: Any, wanted: type, key: str, source: str) -> Any:
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted:
        raise UsageError(
            "{}: {} must be of type {}. Received {}.".format(
                source, key, wanted.__name__, quoted(value)
            )
        )
    return value
