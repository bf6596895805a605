"""Documents to pre-training records."""
