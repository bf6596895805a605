"""The training objective of the originals, its exact gradients and the norm they clip by."""

import numpy as np

from . import model, optimizers, reverse
from .model import Arrays, Config

_TOKEN_TYPES = "bert/embeddings/token_type_embeddings"


def total_loss(config: Config, parameters: Arrays, batch: Arrays) -> np.ndarray:
    """Masked-LM loss plus sentence loss [] of one batch, as `model.forward` takes it."""
    outputs = model.forward(config, parameters, batch)
    return outputs["masked_lm_loss"] + outputs["sentence_order_loss"]


def gradients(config: Config, parameters: Arrays, batch: Arrays) -> Arrays:
    """Gradients of `total_loss` by parameter name, before clipping."""
    return reverse.gradients(lambda traced: total_loss(config, traced, batch), parameters)


def recorded_norm(config: Config, parameters: Arrays, batch: Arrays) -> float:
    """The global norm that the recorded optimizer runs clipped by.

    brightmart's is the global norm. In the recorded Google run the token types are looked up, so
    TensorFlow hands the clip the gradient of that table as one row per token. The rows of equal
    type were added up only after their norm was taken, which makes it too large. With one-hot
    lookups (a TPU) the original has the true norm, too.
    """
    true_gradients = gradients(config, parameters, batch)
    if model.is_brightmart(parameters):
        return optimizers.global_norm(true_gradients)
    segments = batch["segment_ids"]  # [B, S]
    per_token = dict(parameters, **{_TOKEN_TYPES: parameters[_TOKEN_TYPES][segments.reshape(-1)]})
    own_rows = dict(batch, segment_ids=np.arange(segments.size).reshape(segments.shape))
    rows = gradients(config, per_token, own_rows)[_TOKEN_TYPES]  # [B * S, E]
    return optimizers.global_norm(dict(true_gradients, **{_TOKEN_TYPES: rows}))
