"""Release archives: packed with reproducible bytes, unpacked without trust, verified by use."""
