"""ALBERT pre-training by tower replication: model, optimizers, towers, checkpoints, evaluation."""
