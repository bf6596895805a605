"""What a block of the encoder is made of: attention, and weights that blocks share."""
