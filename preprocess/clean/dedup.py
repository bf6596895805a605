"""Finding documents that were seen before, exactly or nearly."""

import re
import zlib
from typing import Optional, Set

import numpy as np

from albert.system.errors import UsageError

DEDUPS = ("exact", "near", "none")

# 16 bands of 8 give even odds at a Jaccard similarity of about 0.7 and find nine in ten at 0.8.
PERMUTATIONS = 128
THRESHOLD = 0.8
SHINGLE_WORDS = 5
_WORD = re.compile(r"\w+")


def require_datasketch() -> None:
    """Checks early that near-duplicate search is installed.

    Raises:
      UsageError: It is not.
    """
    try:
        import datasketch  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "--dedup=near needs `pip install datasketch` (Python 3.10 or newer); --dedup=exact "
            "works everywhere."
        ) from error


def _crc(data: bytes) -> int:
    return zlib.crc32(data)


def signature(text: str) -> np.ndarray:
    """[PERMUTATIONS] uint64 MinHash of the runs of five words, without case and punctuation.

    Reference: Broder, "On the resemblance and containment of documents", 1997.
    """
    import datasketch

    words = _WORD.findall(text.lower())
    count = max(1, len(words) - SHINGLE_WORDS + 1)
    shingles = {" ".join(words[i : i + SHINGLE_WORDS]).encode("utf-8") for i in range(count)}
    sketch = datasketch.MinHash(PERMUTATIONS, seed=1, hashfunc=_crc)
    sketch.update_batch(sorted(shingles))
    return np.asarray(sketch.hashvalues)


class Seen:
    """The documents kept so far; ask in input order, so that the first copy stays."""

    def __init__(self, mode: str) -> None:
        """Starts with no document; `mode` is one of `DEDUPS`."""
        self._mode = mode
        self._hashes: Set[bytes] = set()
        self._index = None
        if mode == "near":
            import datasketch

            self._index = datasketch.MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)

    def duplicate(self, digest: bytes, sketch: Optional[np.ndarray]) -> str:
        """Remembers a document; says "exact" or "near" if it was there already, else "".

        Args:
          digest: Its `split.document_hash`.
          sketch: Its `signature` if the mode is "near".
        """
        if self._mode == "none":
            return ""
        if digest in self._hashes:
            return "exact"
        self._hashes.add(digest)
        if self._index is None:
            return ""
        import datasketch

        mine = datasketch.MinHash(PERMUTATIONS, seed=1, hashfunc=_crc)
        mine.hashvalues = sketch
        if self._index.query(mine):
            return "near"
        self._index.insert(len(self._hashes), mine)
        return ""
