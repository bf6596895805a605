"""One file drives everything: from raw text to an exported model, step by step."""
