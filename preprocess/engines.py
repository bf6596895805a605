"""Where jobs run: in this process, in worker processes, or on a Ray cluster.

An engine maps a top-level function over jobs that can be pickled and yields the results as they
come. Jobs are few at a time, so that an endless iterator of jobs needs flat memory. What the
results are does not depend on the engine.
"""

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import os
import sys
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Callable, Dict, Iterable, Iterator, List, Set, TypeVar

from albert.system.errors import TryAgain, UsageError, check_between, check_one_of
from albert.system.machine import usable_cores

Job = TypeVar("Job")
Result = TypeVar("Result")
Map = Callable[[Callable[[Job], Result], Iterable[Job]], Iterator[Result]]

ENGINES = ("local", "ray")
_JOBS_PER_WORKER = 2


@dataclasses.dataclass(frozen=True)
class Execution:
    """How the work is carried out; nothing here changes a byte of the result.

    Attributes:
      num_workers: Processes; 0 means one for each core this process may use.
      engine: "local" processes or a "ray" cluster.
      ray_address: "" starts Ray here; "auto" or ray://host:port joins a cluster, whose machines
        must see the same folders.
      tqdm_off: Plain log lines instead of a progress bar.

    >>> Execution(num_workers=2).engine
    'local'
    """

    num_workers: int = 0
    engine: str = "local"
    ray_address: str = ""
    tqdm_off: bool = False

    def __post_init__(self) -> None:
        check_one_of("engine", self.engine, ENGINES)
        check_between("num_workers", self.num_workers, 0, 4096)


# One process for each core of this machine.
LOCAL = Execution()


def worker_count(execution: Execution) -> int:
    """Workers to use: as told, or one for each core that this process may run on."""
    return execution.num_workers or usable_cores()


@contextlib.contextmanager
def start(execution: Execution) -> Iterator[Map]:
    """Starts the engine and yields its `map(function, jobs)`.

    Raises:
      UsageError: Ray is asked for and not installed or not reachable.
      TryAgain: A worker dies.
    """
    if execution.engine == "ray":
        with _ray(execution) as run:
            yield run
    elif worker_count(execution) == 1:
        yield map
    else:
        with _processes(worker_count(execution)) as run:
            yield run


def apart(function: Callable[[Job], Result], job: Job) -> Result:
    """Runs one job in a process of its own."""
    with _processes(1) as run:
        return next(run(function, [job]))


def _end_with_parent(parent: int) -> None:
    """Ends this worker soon after its parent is gone, however it went."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _ready(seconds: float) -> None:
    time.sleep(seconds)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Starts workers that do not run the caller's script again: they need nothing of it.

    They would run it up to the same call, unless it stands below `if __name__ == "__main__"`.
    """
    main: Dict[str, Any] = vars(sys.modules["__main__"])
    kept = {name: main[name] for name in main if name in ("__file__", "__spec__")}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(kept)


@contextlib.contextmanager
def _processes(workers: int) -> Iterator[Map]:
    # Fresh processes: a fork would copy the threads' locks of whatever the caller has loaded.
    pool = concurrent.futures.ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_end_with_parent,
        initargs=(os.getpid(),),
    )

    def run(function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
        pending: Set[concurrent.futures.Future] = set()
        try:
            for job in jobs:
                with _without_main():  # submitting a job may start a worker
                    pending.add(pool.submit(function, job))
                if len(pending) >= workers * _JOBS_PER_WORKER:
                    done, pending = concurrent.futures.wait(
                        pending, return_when=concurrent.futures.FIRST_COMPLETED
                    )
                    for future in done:
                        yield future.result()
            for future in concurrent.futures.as_completed(pending):
                yield future.result()
        finally:
            for future in pending:
                future.cancel()

    try:
        with pool:
            list(run(_ready, [0.05] * workers))
            yield run
    except BrokenProcessPool as error:
        raise TryAgain(
            "A worker process ended unexpectedly; was it killed, or is memory short? Run the "
            "same command again to continue, with a lower --num_workers if it was memory."
        ) from error


@contextlib.contextmanager
def _ray(execution: Execution) -> Iterator[Map]:
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "--engine=ray needs Ray, which is an extra: pip install 'albert-pretraining[ray]', or "
            "leave --engine=local."
        ) from error
    local = {} if execution.ray_address else {"num_cpus": worker_count(execution)}
    try:
        ray.init(
            address=execution.ray_address or "local",
            ignore_reinit_error=True,
            log_to_driver=False,
            **local,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UsageError(
            "Cannot reach the Ray cluster --ray_address={} ({}). Start one with `ray start "
            "--head`, or leave the flag empty to use this machine.".format(
                execution.ray_address, str(error).splitlines()[0]
            )
        ) from error
    limit = max(1, int(ray.cluster_resources().get("CPU", 1))) * _JOBS_PER_WORKER

    def results(done: List[Any]) -> List[Any]:
        try:
            return ray.get(done)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UsageError):
                raise error.cause from error
            raise

    def run(function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
        task = ray.remote(function)
        pending: List[Any] = []
        for job in jobs:
            pending.append(task.remote(job))
            if len(pending) >= limit:
                done, pending = ray.wait(pending)
                for result in results(done):
                    yield result
        while pending:
            done, pending = ray.wait(pending)
            for result in results(done):
                yield result

    try:
        yield run
    finally:
        ray.shutdown()
