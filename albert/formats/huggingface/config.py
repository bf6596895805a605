"""`config.json` of transformers, in both directions."""

import dataclasses
from typing import Any, Dict, Mapping

from absl import logging

from albert.model.config import ModelConfig
from albert.model.layers import LAYER_NORM_EPSILON
from albert.system.errors import UsageError, quoted

BRIGHTMART_TYPE = "albert_brightmart"
REMOTE_CODE_FILE = "modeling_" + BRIGHTMART_TYPE + ".py"
_REMOTE_CLASSES = {
    "AutoConfig": "BrightmartAlbertConfig",
    "AutoModel": "BrightmartAlbertModel",
    "AutoModelForPreTraining": "BrightmartAlbertForPreTraining",
    "AutoModelForMaskedLM": "BrightmartAlbertForMaskedLM",
    "AutoModelForSequenceClassification": "BrightmartAlbertForSequenceClassification",
    "AutoModelForQuestionAnswering": "BrightmartAlbertForQuestionAnswering",
    "AutoModelForTokenClassification": "BrightmartAlbertForTokenClassification",
}
# ALBERT's gelu is the tanh form, which transformers calls gelu_new; its "gelu" is the erf form.
_ACTIVATIONS = {
    "gelu": "gelu_new",
    "relu": "relu",
    "tanh": "tanh",
    "linear": "linear",
    "geglu": "geglu",
}
# What the class of each layout computes beyond the published models; google's is transformers' own.
_KNOWN_TO = {
    "google": (),
    "brightmart": ("hidden_act", "position_embedding_type", "use_bias", "residual_scale"),
}
_ACTIVATIONS_BACK = dict(
    {theirs: ours for ours, theirs in _ACTIVATIONS.items()}, gelu_pytorch_tanh="gelu"
)
_CLASSIFIER_DROPOUT = 0.1
# Of transformers' AlbertConfig, where they differ from ours.
_DEFAULTS = {
    "vocab_size": 30000,
    "hidden_size": 4096,
    "num_attention_heads": 64,
    "intermediate_size": 16384,
}


def to_huggingface(
    config: ModelConfig, special_ids: Mapping[str, int], task: str = "PreTraining"
) -> Dict[str, Any]:
    """The `config.json` of a model.

    Args:
      config: The model.
      special_ids: Ids of the special pieces by role: cls, sep, mask, pad, unk.
      task: What the class of the model is for: PreTraining, SequenceClassification...

    Raises:
      UsageError: transformers would compute something else with these sizes.
    """
    config.refuse_variants("transformers", _KNOWN_TO[config.layout])
    values = config.to_dict()
    del values["layout"]
    google = config.layout == "google"
    if google:
        _check_groups(config)
        values.update(model_type="albert", architectures=["AlbertFor" + task])
    else:
        module = REMOTE_CODE_FILE[: -len(".py")]
        values.update(
            model_type=BRIGHTMART_TYPE,
            architectures=["BrightmartAlbertFor" + task],
            auto_map={auto: module + "." + name for auto, name in _REMOTE_CLASSES.items()},
        )
    values.update(
        hidden_act=_ACTIVATIONS[config.hidden_act],
        layer_norm_eps=LAYER_NORM_EPSILON,
        classifier_dropout_prob=_CLASSIFIER_DROPOUT,
        bos_token_id=special_ids["cls"],
        eos_token_id=special_ids["sep"],
        pad_token_id=special_ids["pad"],
        cls_token_id=special_ids["cls"],
        sep_token_id=special_ids["sep"],
        mask_token_id=special_ids["mask"],
        tie_word_embeddings=True,
        dtype="float32",
    )
    return values


def from_huggingface(values: Mapping[str, Any], source: str) -> ModelConfig:
    """The model a `config.json` describes; keys that change nothing are left out.

    Raises:
      UsageError: It is no ALBERT, or one that has no equal here.
    """
    kind = values.get("model_type")
    if kind not in ("albert", BRIGHTMART_TYPE):
        raise UsageError(
            "{} describes a model of type {}; only albert and {} can be imported.".format(
                source, quoted(kind), BRIGHTMART_TYPE
            )
        )
    wanted: Dict[str, Any] = {"layer_norm_eps": LAYER_NORM_EPSILON}
    if kind == "albert":
        wanted["position_embedding_type"] = "absolute"
    for key, value in wanted.items():
        if values.get(key, value) != value:
            raise UsageError(
                "{} has {}={}; ALBERT here has {!r}, so the model cannot be imported.".format(
                    source, key, quoted(values[key]), value
                )
            )
    fields = {field.name for field in dataclasses.fields(ModelConfig)}
    kept = dict(_DEFAULTS, **{key: value for key, value in values.items() if key in fields})
    kept["layout"] = "google" if kind == "albert" else "brightmart"
    kept["hidden_act"] = _activation(values.get("hidden_act", "gelu_new"), source)
    return ModelConfig.from_dict(kept, source)


def _activation(name: Any, source: str) -> str:
    if name == "gelu":
        logging.warning(
            "%s names the erf form of gelu; it is computed in the tanh form, as Google's code "
            "does, and outputs can differ in the third decimal.",
            source,
        )
        return "gelu"
    if not isinstance(name, str) or name not in _ACTIVATIONS_BACK:
        raise UsageError(
            "{} has hidden_act={}; known are {}.".format(
                source, quoted(name), ", ".join(sorted(_ACTIVATIONS_BACK))
            )
        )
    return _ACTIVATIONS_BACK[name]


def _check_groups(config: ModelConfig) -> None:
    layers, groups = config.num_hidden_layers, config.num_hidden_groups
    for layer in range(layers):
        # As transformers computes it, in floating point.
        if int(layer / (layers / groups)) != layer * groups // layers:
            raise UsageError(
                "With num_hidden_layers={} and num_hidden_groups={} transformers would run layer "
                "{} with another group's weights, because it computes the group in floating "
                "point; this model cannot be exported to it.".format(layers, groups, layer)
            )
