"""What TensorFlow makes of a disk that is full or closed, as the errors that Python has for it."""

import contextlib
import errno
import os
from typing import Iterator

from albert.compat import tf

_ERRORS = {
    tf.errors.ResourceExhaustedError: errno.ENOSPC,
    tf.errors.PermissionDeniedError: errno.EACCES,
}


@contextlib.contextmanager
def os_errors(path: str) -> Iterator[None]:
    """Raises an OSError about `path` where TensorFlow could not write."""
    try:
        yield
    except tuple(_ERRORS) as error:
        number = _ERRORS[type(error)]
        raise OSError(number, os.strerror(number), path) from error
