"""Train or validation, decided by the document itself."""

import hashlib


def document_hash(text: str) -> bytes:
    """16 bytes that identify a document up to white space, the same everywhere and always."""
    return hashlib.blake2b(" ".join(text.split()).encode("utf-8"), digest_size=16).digest()


def is_validation(text: str, fraction: float) -> bool:
    """Whether a document belongs to the held-out part.

    The decision depends on the text alone, so it stays when files are added or reordered, and
    copies of a document are always on the same side.

    Args:
      text: The document.
      fraction: Share of documents to hold out, 0 to 1.
    """
    return int.from_bytes(document_hash(text)[:8], "big") < fraction * 2.0**64
