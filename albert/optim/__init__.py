"""Optimizers as pure rules over named tensors (after optax)."""
