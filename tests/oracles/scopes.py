"""The TensorFlow 1 variable scopes of the layers, in order of application."""

from typing import Any, Dict, List, NamedTuple

Config = Dict[str, Any]


class BlockScopes(NamedTuple):
    """Where the variables of one layer live."""

    projections: str  # query, key, value
    attention_output: str
    attention_norm: str
    intermediate: str
    output: str
    output_norm: str


def google_scopes(config: Config) -> List[BlockScopes]:
    """The blocks in order of application: every inner group of the group of every layer."""
    layers, groups = config["num_hidden_layers"], config.get("num_hidden_groups", 1)
    scopes = []
    for layer in range(layers):
        for inner in range(config.get("inner_group_num", 1)):
            group = layer * groups // layers
            prefix = f"bert/encoder/transformer/group_{group}/inner_group_{inner}/"
            scopes.append(
                BlockScopes(
                    projections=prefix + "attention_1/self",
                    attention_output=prefix + "attention_1/output/dense",
                    attention_norm=prefix + "LayerNorm",
                    intermediate=prefix + "ffn_1/intermediate/dense",
                    output=prefix + "ffn_1/intermediate/output/dense",
                    output_norm=prefix + "LayerNorm_1",
                )
            )
    return scopes


def brightmart_scopes(config: Config) -> List[BlockScopes]:
    """The blocks in order of application, named by what the layers share."""
    shared = config.get("shared_type", "all")
    if shared not in ("all", "attention", "ffn", "none"):
        raise ValueError(f"shared_type must be all, attention, ffn or none. Received {shared!r}.")
    scopes = []
    for layer in range(config["num_hidden_layers"]):
        own = f"_{layer}"
        prefix = "bert/encoder/layer" + (own if shared == "none" else "_shared") + "/"
        attention = prefix + "attention" + (own if shared == "ffn" else "")
        ffn_suffix = own if shared == "attention" else ""
        output = prefix + "output" + ffn_suffix
        scopes.append(
            BlockScopes(
                projections=attention + "/self",
                attention_output=attention + "/output/dense",
                attention_norm=attention + "/output/LayerNorm",
                intermediate=prefix + "intermediate" + ffn_suffix + "/dense",
                output=output + "/dense",
                output_norm=output + "/LayerNorm",
            )
        )
    return scopes
