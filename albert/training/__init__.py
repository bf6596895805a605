"""One synchronous run: towers, update, loop, logs."""
