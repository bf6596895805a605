"""A function that was converted, ready to run."""

from typing import Callable, Dict, Mapping, NamedTuple

import numpy as np

from albert.system.errors import UsageError

Arrays = Mapping[str, np.ndarray]
_MOST_BYTES = 1900 * 2**20  # of weights; a file of either format has less than 2 GiB


class Converted(NamedTuple):
    """A function of a file.

    Attributes:
      file: Its name.
      function: Name of the signature.
      int8: Whether its weights are bytes.
      run: From inputs to outputs, both by name.
    """

    file: str
    function: str
    int8: bool
    run: Callable[[Arrays], Dict[str, np.ndarray]]


def check_fits(weights: Arrays) -> None:
    """Refuses weights that no such file can hold.

    Raises:
      UsageError: They are too large.
    """
    size = sum(value.nbytes for value in weights.values())
    if size > _MOST_BYTES:
        raise UsageError(
            "The weights take {:,} MB, and a file of this format holds less than 2,048. Export "
            "with --format=savedmodel.".format(size // 2**20)
        )
