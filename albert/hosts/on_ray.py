"""Hosts that are workers of a Ray cluster, which Ray Train starts and starts again."""

import contextlib
import logging as standard_logging
import os
import subprocess
import threading
from typing import Any, Dict, Iterator, Sequence

from absl import logging

import albert.compat  # noqa: F401  Ray Train imports TensorFlow; this makes it quiet
from albert.hosts.processes import is_worth_a_restart, repeat, shell_code, tied_to_parent, told
from albert.system.errors import UsageError


def run_on_ray(command: Sequence[str], count: int, max_restarts: int, address: str) -> int:
    """Runs a command as several workers of Ray Train, with a share of the cluster's GPUs each.

    The command runs in the same directory on each machine, so program and records must be there.
    After a restart another machine may be the first, so the run's folder must be seen by all.

    Args:
      command: The program and its arguments.
      count: Workers, on as many machines as there are.
      max_restarts: How often all are started again after a failure.
      address: Of the cluster, "auto" or ray://host:port; "" starts Ray here.

    Returns:
      The exit code of the program on the first worker; 1 if it failed more often than allowed.

    Raises:
      UsageError: Ray is not installed or not reachable, or the cluster is too small.
    """
    try:
        import ray
        from ray.train import FailureConfig, RunConfig, TrainingFailedError
        from ray.train.tensorflow import TensorflowTrainer
        from ray.util.queue import Queue
    except ImportError as error:
        raise UsageError(
            "--engine=ray needs Ray Train, which is an extra: pip install "
            "'albert-pretraining[ray]' ({}).".format(error)
        ) from error
    try:
        # What the workers say comes through `said`, without what Ray has to say of itself.
        where = {"address": address} if address else {"num_cpus": count}
        ray.init(log_to_driver=False, logging_level=standard_logging.ERROR, **where)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UsageError(
            "Cannot reach the Ray cluster --address={} ({}). Start one with `ray start --head`, or "
            "leave the flag empty to use this machine.".format(address, str(error).splitlines()[0])
        ) from error
    try:
        scaling = _scaling(ray.cluster_resources(), count)
        logging.info("Ray starts %d workers; it waits for machines that are busy", count)
        with _shown(Queue(actor_options={"num_cpus": 0})) as said:
            what = {"command": list(command), "directory": os.getcwd(), "said": said}
            trainer = TensorflowTrainer(
                _run_worker,
                train_loop_config=what,
                scaling_config=scaling,
                run_config=RunConfig(failure_config=FailureConfig(max_failures=max_restarts)),
            )
            return shell_code(int(trainer.fit().return_value))
    except TrainingFailedError as error:
        logging.error("Ray gave up after %d restarts: %s", max_restarts, error)
        return 1
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _shown(said: Any) -> Iterator[Any]:
    """Shows what comes through a queue until the block ends."""

    def show() -> None:
        for place, line in iter(said.get, None):
            repeat(place, line)

    reader = threading.Thread(target=show, daemon=True)
    reader.start()
    try:
        yield said
    finally:
        said.put(None)
        reader.join()


def _scaling(there: Dict[str, float], count: int) -> Any:
    """A CPU for each worker, and an equal number of GPUs where there are any."""
    from ray.train import ScalingConfig

    if there.get("CPU", 0) < count:
        raise UsageError(
            "--hosts={} are more than the {:.0f} CPUs of the cluster; each needs one.".format(
                count, there.get("CPU", 0)
            )
        )
    gpus = int(there.get("GPU", 0)) // count
    return ScalingConfig(
        num_workers=count,
        use_gpu=gpus > 0,
        resources_per_worker={"CPU": 1, "GPU": gpus} if gpus else {"CPU": 1},
        placement_strategy="SPREAD",
    )


def _run_worker(config: Dict[str, Any]) -> int:
    """Runs the command in a process of its own: TensorFlow joins a process to others only once."""
    from ray import train

    place = train.get_context().get_world_rank()
    with subprocess.Popen(
        config["command"],
        cwd=config["directory"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=tied_to_parent,
    ) as process:
        for line in process.stdout or ():
            config["said"].put((place, line))
    if is_worth_a_restart(process.returncode):
        raise RuntimeError("host {} {}".format(place, told(process.returncode)))
    return process.returncode
