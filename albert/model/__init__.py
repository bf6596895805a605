"""ALBERT as functions of tensors.

A model here is a `ModelConfig` and a dictionary of tensors named as in TensorFlow 1 checkpoints.
There are no module objects: sharing a layer means using the same tensors again, a tower is an
ordinary function, and a checkpoint needs no name map.

Shape legend, used throughout:
  B  examples (of one tower)          V  vocabulary
  S  sequence length; S' key side     E  embedding width
  P  predictions per sequence         D  hidden width, D = N * H
  N  attention heads                  I  intermediate width
  H  head width
"""
