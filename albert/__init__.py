"""ALBERT pre-training by tower replication: model, optimizers, towers, checkpoints, evaluation."""

__version__ = "0.2.0"
