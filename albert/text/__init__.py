"""Text to piece ids: the tokenizer, what is done to text before it, and examples of ids."""
