"""A pre-trained or fine-tuned model at work on text."""
