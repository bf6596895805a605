"""Fine-tuning: classification of texts and tagging of words on top of a pre-trained encoder."""

POOLINGS = ("mean", "pooled")  # ways to a vector for a text
