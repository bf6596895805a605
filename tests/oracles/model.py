"""Both original ALBERT systems, and ours beyond them, as one NumPy float64 forward pass.

Parameters are named as in TensorFlow 1 checkpoints. Tables that hold `word_embeddings_2` are of the
brightmart layout (projection inside the lookup), all others of the Google layout (projection
after the embedding norm).

Shapes: B batch, S sequence, P predictions per sequence, V vocabulary, E embedding, D hidden,
N heads, H head size (D = N * H), I intermediate.
"""

from typing import Any, Callable, Dict

import numpy as np

from . import kernels
from .scopes import BlockScopes, brightmart_scopes, google_scopes

Arrays = Dict[str, np.ndarray]
Config = Dict[str, Any]

MASKED_LM_EPSILON = 1e-5  # Added to the number of predictions; the sentence loss has none.


def forward(config: Config, parameters: Arrays, batch: Arrays) -> Arrays:
    """Runs the encoder, both heads and both losses; dropout is off.

    Args:
      config: The keys of `albert_config.json`; `ln_type` ("preln" or "postln") and `shared_type`
        ("all", "attention", "ffn" or "none") are read in the brightmart layout only. Gates, biases
        and a table of positions are computed where `parameters` has them.
      parameters: Arrays by TensorFlow 1 variable name, without ":0"; further names are ignored.
      batch: The record features. input_ids, input_mask, segment_ids: [B, S]; masked_lm_positions,
        masked_lm_ids, masked_lm_weights: [B, P]; next_sentence_labels: [B] or [B, 1], -1 for none.

    Returns:
      sequence_output [B, S, D], pooled_output [B, D], masked_lm_log_probs [B * P, V],
      masked_lm_example_loss [B * P] (not yet weighted), masked_lm_loss [],
      sentence_order_log_probs [B, 2], sentence_order_example_loss [B] (0 where there is no label)
      and sentence_order_loss [].
    """
    if config["hidden_act"] not in ("gelu", "geglu"):
        raise ValueError(
            f"hidden_act must be gelu or geglu here. Received {config['hidden_act']!r}."
        )
    weights = {name: _float64(value) for name, value in parameters.items()}
    sequence = encode(config, weights, batch)
    pooled = np.tanh(_dense(weights, "bert/pooler/dense", sequence[:, 0]))
    outputs = {"sequence_output": sequence, "pooled_output": pooled}
    outputs.update(_masked_lm(weights, sequence, batch))
    outputs.update(_sentence_order(weights, pooled, batch))
    return outputs


def encode(config: Config, weights: Arrays, batch: Arrays) -> np.ndarray:
    """Embeds the tokens and applies every layer; returns [B, S, D]."""
    hidden = _embed(weights, batch)
    mask = np.asarray(batch["input_mask"], np.float64)
    if is_brightmart(weights):
        pre_norm = config.get("ln_type", "preln") != "postln"
        scopes = brightmart_scopes(config)
    else:
        pre_norm = False
        scopes = google_scopes(config)
        if config["embedding_size"] != config["hidden_size"]:
            hidden = _dense(weights, "bert/encoder/embedding_hidden_mapping_in", hidden)
    for scope in scopes:
        hidden = _block(config, weights, scope, hidden, mask, pre_norm)
    if config.get("final_layer_norm"):
        hidden = _norm(weights, "bert/encoder/LayerNorm", hidden)
    return hidden


def is_brightmart(parameters: Arrays) -> bool:
    """Whether the names are those of the brightmart layout."""
    return "bert/embeddings/word_embeddings_2" in parameters


def _float64(x: np.ndarray) -> np.ndarray:
    return x if x.dtype == np.float64 else np.asarray(x, np.float64)


def _dense(weights: Arrays, scope: str, x: np.ndarray) -> np.ndarray:
    return kernels.dense(x, weights[scope + "/kernel"], weights.get(scope + "/bias", 0.0))


def _norm(weights: Arrays, scope: str, x: np.ndarray) -> np.ndarray:
    return kernels.layer_norm(x, weights[scope + "/gamma"], weights[scope + "/beta"])


def _embed(weights: Arrays, batch: Arrays) -> np.ndarray:
    tables = {name: weights.get(f"bert/embeddings/{name}_embeddings") for name in _TABLES}
    tokens = tables["word"][batch["input_ids"]]  # [B, S, E]
    if is_brightmart(weights):
        tokens = np.matmul(tokens, weights["bert/embeddings/word_embeddings_2"])  # [B, S, D]
    segments = tables["token_type"][batch["segment_ids"]]
    if tables["position"] is not None:
        segments = segments + tables["position"][: tokens.shape[1]]  # [S, E or D]
    return _norm(weights, "bert/embeddings/LayerNorm", tokens + segments)


_TABLES = ("word", "token_type", "position")


def _block(
    config: Config,
    weights: Arrays,
    scopes: BlockScopes,
    x: np.ndarray,
    mask: np.ndarray,
    pre: bool,
) -> np.ndarray:
    heads = config["num_attention_heads"]
    scale = config.get("residual_scale", 1.0)

    def attend(y: np.ndarray) -> np.ndarray:
        parts = [_dense(weights, scopes.projections + "/" + part, y) for part in _PROJECTIONS]
        query, key, value = [kernels.split_heads(part, heads) for part in parts]
        if config.get("position_embedding_type") == "rotary":
            query, key = kernels.rotated(query), kernels.rotated(key)
        context = kernels.join_heads(kernels.attention(query, key, value, mask))
        return _dense(weights, scopes.attention_output, context)

    def feed_forward(y: np.ndarray) -> np.ndarray:
        inner = kernels.gelu(_dense(weights, scopes.intermediate, y))  # [B, S, I]
        if config["hidden_act"] == "geglu":
            inner = inner * _dense(weights, scopes.intermediate + "_gate", y)
        return _dense(weights, scopes.output, inner)

    def residual(
        y: np.ndarray, branch: Callable[[np.ndarray], np.ndarray], norm: str
    ) -> np.ndarray:
        if pre:
            return y + scale * branch(_norm(weights, norm, y))
        return _norm(weights, norm, y + branch(y))

    x = residual(x, attend, scopes.attention_norm)
    return residual(x, feed_forward, scopes.output_norm)


_PROJECTIONS = ("query", "key", "value")


def _masked_lm(weights: Arrays, sequence: np.ndarray, batch: Arrays) -> Arrays:
    rows = np.arange(sequence.shape[0])[:, None]
    masked = sequence[rows, batch["masked_lm_positions"]]  # [B, P, D]
    scope = "cls/predictions/transform/"
    transformed = _norm(
        weights, scope + "LayerNorm", kernels.gelu(_dense(weights, scope + "dense", masked))
    )  # [B, P, E], brightmart [B, P, D]
    if is_brightmart(weights):
        projection = weights["bert/embeddings/word_embeddings_2"]
        transformed = np.matmul(transformed, projection.T)  # [B, P, E]
    logits = np.matmul(transformed, weights["bert/embeddings/word_embeddings"].T)
    logits = logits + weights["cls/predictions/output_bias"]  # [B, P, V]
    labels, label_weights = batch["masked_lm_ids"], batch["masked_lm_weights"]
    total, weight = kernels.masked_lm_cross_entropy(logits, labels, label_weights)
    log_probs = kernels.log_softmax(logits).reshape(-1, logits.shape[-1])
    return {
        "masked_lm_log_probs": log_probs,
        "masked_lm_example_loss": kernels.cross_entropy(log_probs, labels.reshape(-1)),
        "masked_lm_loss": total / (weight + MASKED_LM_EPSILON),
    }


def _sentence_order(weights: Arrays, pooled: np.ndarray, batch: Arrays) -> Arrays:
    scope = "cls/seq_relationship/"
    logits = np.matmul(pooled, weights[scope + "output_weights"].T) + weights[scope + "output_bias"]
    labels = batch["next_sentence_labels"].reshape(-1)
    total, weight = kernels.sentence_cross_entropy(logits, labels)
    log_probs = kernels.log_softmax(logits)
    losses = kernels.cross_entropy(log_probs, np.maximum(labels, 0)) * (labels >= 0)
    return {
        "sentence_order_log_probs": log_probs,
        "sentence_order_example_loss": losses,
        "sentence_order_loss": total / max(weight, 1.0),
    }
