"""Runs an iterator in a thread, so that reading and parsing overlap with the step."""

import queue
import threading
from typing import Iterable, Iterator, TypeVar

T = TypeVar("T")


def prefetch(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Yields the items of an iterable that a thread keeps `depth` ahead.

    An exception of the iterable is raised here, at the place of the item it stands for. Closing
    the generator stops the thread.
    """
    ready = queue.Queue(maxsize=depth)  # type: queue.Queue
    stop = threading.Event()

    def put(entry) -> None:
        while not stop.is_set():
            try:
                ready.put(entry, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put((item, None))
                if stop.is_set():
                    return
            put((None, StopIteration()))
        except BaseException as error:  # handed over, not swallowed
            put((None, error))

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stop.set()
        thread.join()
