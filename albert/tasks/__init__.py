"""Fine-tuning: texts classified, words tagged and entities found on a pre-trained encoder."""

POOLINGS = ("mean", "pooled")  # ways to a vector for a text
