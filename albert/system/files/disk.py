"""What TensorFlow makes of a disk that refuses, as the errors that Python has for it."""

import contextlib
import errno
import os
from typing import Iterator

from albert.compat import tf

_ERRORS = {
    "ResourceExhaustedError": errno.ENOSPC,
    "PermissionDeniedError": errno.EACCES,
    "UnknownError": errno.EIO,
}


@contextlib.contextmanager
def os_errors(path: str) -> Iterator[None]:
    """Raises an OSError about `path` where TensorFlow could not write."""
    try:
        yield
    except tuple(getattr(tf.errors, name) for name in _ERRORS) as error:
        number = _ERRORS[type(error).__name__]
        raise OSError(number, os.strerror(number), path) from error
