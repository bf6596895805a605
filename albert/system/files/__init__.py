"""Files: found, fetched, opened, and written whole or not at all."""
