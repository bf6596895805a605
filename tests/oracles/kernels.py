"""The layers and losses of ALBERT in NumPy float64, one obvious line at a time.

Shapes: B batch, S sequence (S' on the key side), P predictions per sequence, V vocabulary,
D hidden, N heads, H head size (D = N * H), C classes.
"""

from typing import Tuple

import numpy as np

MASKED_SCORE = -10000.0  # What the originals add to the attention score of padding.


def gelu(x: np.ndarray) -> np.ndarray:
    """Gaussian error linear unit in its tanh form, not the exact erf form; any shape."""
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def layer_norm(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float = 1e-12
) -> np.ndarray:
    """Normalises the last axis.

    Args:
      x: [..., D].
      gamma: [D], the scale.
      beta: [D], the offset.
      eps: Added to the variance, inside the root.

    Returns:
      [..., D].
    """
    mean = np.mean(x, axis=-1, keepdims=True)
    variance = np.mean((x - mean) ** 2, axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps) * gamma + beta


def log_softmax(x: np.ndarray) -> np.ndarray:
    """Logarithm of the softmax over the last axis; any shape."""
    shifted = x - np.max(x, axis=-1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


def softmax(x: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis; any shape."""
    exponentials = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return exponentials / np.sum(exponentials, axis=-1, keepdims=True)


def dense(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Affine map of the last axis: [..., I], [I, O], [O] -> [..., O]."""
    return np.matmul(x, kernel) + bias


def split_heads(x: np.ndarray, num_heads: int) -> np.ndarray:
    """[B, S, N * H] -> [B, N, S, H]."""
    batch, length, width = x.shape
    return x.reshape(batch, length, num_heads, width // num_heads).transpose(0, 2, 1, 3)


def join_heads(x: np.ndarray) -> np.ndarray:
    """[B, N, S, H] -> [B, S, N * H]."""
    batch, num_heads, length, size = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, length, num_heads * size)


def rotated(x: np.ndarray) -> np.ndarray:
    """Turns each pair (h, h + H / 2) of [B, N, S, H] by its place in the sequence."""
    half = x.shape[-1] // 2
    angles = np.arange(x.shape[2])[:, None] * 10000.0 ** (-np.arange(half) / half)
    turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate([turned.real, turned.imag], axis=-1)


def attention(
    query: np.ndarray, key: np.ndarray, value: np.ndarray, mask: np.ndarray
) -> np.ndarray:
    """Scaled dot-product attention over the key axis.

    Args:
      query: [B, N, S, H].
      key: [B, N, S', H].
      value: [B, N, S', H].
      mask: [B, S'], 1 for a token that may be attended to, 0 for padding.

    Returns:
      [B, N, S, H].
    """
    scores = np.matmul(query, key.transpose(0, 1, 3, 2)) / np.sqrt(query.shape[-1])  # [B,N,S,S']
    scores = scores + (1.0 - mask[:, None, None, :]) * MASKED_SCORE
    return np.matmul(softmax(scores), value)


def cross_entropy(log_probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Negative log-probability of each label: [M, C], [M] -> [M]."""
    return -log_probs[np.arange(labels.shape[0]), labels]


def masked_lm_cross_entropy(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Cross entropy summed over the real predictions, and their number.

    Args:
      logits: [B, P, V].
      labels: [B, P], the original token ids.
      weights: [B, P], 1 for a real prediction, 0 for padding.

    Returns:
      The weighted sum [] and the sum of the weights [].
    """
    log_probs = log_softmax(logits).reshape(-1, logits.shape[-1])  # [B * P, V]
    flat = np.reshape(weights, -1).astype(np.float64)
    losses = cross_entropy(log_probs, np.reshape(labels, -1))
    return np.sum(losses * flat), np.sum(flat)


def sentence_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Cross entropy summed over the examples that have a sentence label, and their number.

    Args:
      logits: [B, 2].
      labels: [B] or [B, 1]; -1 means "no label" and weighs nothing.

    Returns:
      The sum [] and the number of labelled examples [].
    """
    flat = np.reshape(labels, -1)
    weights = (flat >= 0).astype(np.float64)
    losses = cross_entropy(log_softmax(logits), np.maximum(flat, 0))
    return np.sum(losses * weights), np.sum(weights)
