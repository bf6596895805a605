"""What values the fields of a config may have."""

import dataclasses
import math
from typing import Any

from albert.system.errors import UsageError

LAYOUTS = ("google", "brightmart")
NORM_PLACEMENTS = ("preln", "postln")
SHARED_TYPES = ("all", "attention", "ffn", "none")
ACTIVATION_NAMES = ("gelu", "relu", "tanh", "linear", "geglu")
POSITION_TYPES = ("absolute", "rotary")
ATTENTIONS = ("softmax", "nystrom")
_CHOICES = {
    "layout": LAYOUTS,
    "ln_type": NORM_PLACEMENTS,
    "shared_type": SHARED_TYPES,
    "hidden_act": ACTIVATION_NAMES,
    "position_embedding_type": POSITION_TYPES,
    "attention": ATTENTIONS,
}

_OF_NYSTROM = ("num_landmarks", "inverse_iterations", "conv_kernel_size")

# Beyond these a number is a mistake, or a trap in an archive; nothing is made in its size.
_LARGEST_SIZE = 1 << 20
_LARGEST = {
    "vocab_size": 1 << 24,
    "num_hidden_layers": 1 << 12,
    "inner_group_num": 1 << 8,
    "type_vocab_size": 1 << 16,
    "inverse_iterations": 1 << 5,
    "conv_kernel_size": (1 << 12) + 1,
}


def check_config(config: Any) -> None:
    """Refuses a `ModelConfig` that describes no model.

    Raises:
      UsageError: A value is out of range, or two do not go together.
    """
    for key, known in _CHOICES.items():
        if getattr(config, key) not in known:
            raise UsageError(
                "{} must be one of {}. Received '{}'.".format(
                    key, ", ".join(known), getattr(config, key)
                )
            )
    for field in dataclasses.fields(config):
        _check_number(field.name, getattr(config, field.name))
    _check_heads(config)
    _check_norms(config)
    if config.layout == "google" and config.num_hidden_groups > config.num_hidden_layers:
        raise UsageError(
            "num_hidden_groups must not exceed num_hidden_layers. Received {} and {}.".format(
                config.num_hidden_groups, config.num_hidden_layers
            )
        )
    _check_attention(config)


def _check_attention(config: Any) -> None:
    for field in dataclasses.fields(config):
        asked = getattr(config, field.name) != field.default
        if field.name in _OF_NYSTROM and asked and config.attention != "nystrom":
            raise UsageError(
                "{}={} is of attention=nystrom. Received attention={}.".format(
                    field.name, getattr(config, field.name), config.attention
                )
            )
    if config.conv_kernel_size % 2 == 0:
        raise UsageError(
            "conv_kernel_size must be odd, so that a token has as many neighbours on either side. "
            "Received {}.".format(config.conv_kernel_size)
        )
    if config.attention == "nystrom" and config.attention_probs_dropout_prob:
        raise UsageError(
            "attention=nystrom never has all attention weights, so none can be dropped. Received "
            "attention_probs_dropout_prob={}.".format(config.attention_probs_dropout_prob)
        )


def _check_number(name: str, value: Any) -> None:
    largest = _LARGEST.get(name, _LARGEST_SIZE)
    if type(value) is int and not 1 <= value <= largest:
        raise UsageError(
            "{} must be at least 1 and at most {:,}. Received {:.10g}.".format(name, largest, value)
        )
    if name.endswith("_prob") and not 0.0 <= value < 1.0:
        raise UsageError("{} must be in [0, 1). Received {}.".format(name, value))
    if name.endswith("_range") and not 0.0 <= value < math.inf:
        raise UsageError("{} must be 0 or above, and finite. Received {}.".format(name, value))
    if name == "residual_scale" and not 0.0 < value <= 1.0:
        raise UsageError("{} must be above 0 and at most 1. Received {}.".format(name, value))


def _check_heads(config: Any) -> None:
    if config.hidden_size % config.num_attention_heads:
        heads = [n for n in range(1, config.hidden_size + 1) if config.hidden_size % n == 0]
        raise UsageError(
            "hidden_size must be a multiple of num_attention_heads. Received hidden_size={}, "
            "num_attention_heads={}. Choose a head count among {}.".format(
                config.hidden_size,
                config.num_attention_heads,
                ", ".join(str(n) for n in heads if n <= 64),
            )
        )
    size = config.hidden_size // config.num_attention_heads
    if config.position_embedding_type == "rotary" and size % 2:
        raise UsageError(
            "position_embedding_type=rotary turns pairs of numbers, so that hidden_size / "
            "num_attention_heads must be even. Received {}.".format(size)
        )


def _check_norms(config: Any) -> None:
    pre_norm = (config.layout, config.ln_type) == ("brightmart", "preln")
    if config.final_layer_norm and not pre_norm:
        raise UsageError(
            "final_layer_norm is for the brightmart layout with ln_type preln, whose stack ends "
            "without one. Received layout={}, ln_type={}.".format(config.layout, config.ln_type)
        )
    if config.residual_scale != 1.0 and not pre_norm:
        raise UsageError(
            "residual_scale is for the brightmart layout with ln_type preln; after a norm it "
            "changes nothing. Received layout={}, ln_type={}.".format(config.layout, config.ln_type)
        )
