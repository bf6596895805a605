"""The whole difference between TensorFlow 1.15 and current TensorFlow.

No other file imports tensorflow or asks for its version.
"""

import contextlib
import functools
import gc
import importlib
import logging as _python_logging
import os
import sys
import types
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Sequence

from albert.system.errors import UsageError
from albert.system.machine import usable_cores

_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
    """Drops what TensorFlow's C++ side prints while loading, before it heeds its log level."""
    quiet = os.environ.setdefault(_LOG_LEVEL, "3") == "3"  # what fails in there also raises here
    kept = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        if quiet:
            os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


@contextlib.contextmanager
def _without_keras() -> Iterator[None]:
    """Lets TensorFlow load as where no Keras is installed, which takes half the time.

    Keras would bring pandas, SciPy's statistics and pyplot. Who asks for `tf.keras` later gets it.
    """
    unwanted = [name for name in ("keras", "tf_keras") if name not in sys.modules]
    known: Dict[str, Any] = sys.modules
    known.update(dict.fromkeys(unwanted))  # None: an import of it is an ImportError
    try:
        yield
    finally:
        for name in unwanted:
            del known[name]


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Looks for no garbage while modules load, which make next to none: an eighth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@functools.lru_cache(maxsize=None)
def _tensorflow() -> Any:
    with _without_chatter(), _without_keras(), _without_collections():
        return importlib.import_module("tensorflow")


@functools.lru_cache(maxsize=None)
def _legacy() -> bool:
    return _tensorflow().__version__.startswith("1.")


class _OnFirstUse(types.ModuleType):
    """TensorFlow's second interface, loaded when something of it is wanted.

    Loading takes seconds: a wrong flag or a cry for help must not wait for it.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # what tools ask any module for
        module = _tensorflow()
        if _legacy():
            module = importlib.import_module("tensorflow.compat.v2")
            module.enable_v2_behavior()
            # Its eager loops log a deprecation notice a line; absl carries our own lines.
            _python_logging.getLogger("tensorflow").setLevel(_python_logging.ERROR)
        self.__dict__.update(vars(module))
        return getattr(module, name)


if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = _OnFirstUse("tensorflow")

__all__ = [
    "compiled",
    "compute_repeatably",
    "custom_gradient",
    "full_float32",
    "fused",
    "gpu_details",
    "join_hosts",
    "logical_devices",
    "peak_bytes",
    "physical_gpus",
    "plain_operations",
    "reset_peak",
    "runtime_name",
    "tf",
]


def runtime_name() -> str:
    """The TensorFlow in use, for logs: "TensorFlow 2.21.0"."""
    return "TensorFlow {}".format(_tensorflow().__version__)


def compiled(function: Callable, xla: bool = False) -> Callable:
    """Traces `function` into a graph once for its input shapes; with `xla`, also compiles it.

    An XLA function must be pure: it takes variables as tensors, because XLA cannot read a
    variable that lives on another device.
    """
    option = "experimental_compile" if _legacy() else "jit_compile"
    return tf.function(function, autograph=False, **({option: True} if xla else {}))


def fused(function: Callable) -> Callable:
    """Makes elementwise operations one pass over memory, where XLA can be called for that alone.

    TensorFlow 1.15 runs them one by one, and so does what is traced within `plain_operations`.
    """

    @functools.lru_cache(maxsize=None)
    def one_pass() -> Callable:
        return function if _legacy() else compiled(function, xla=True)

    return lambda *inputs: (function if _PLAIN else one_pass())(*inputs)


def custom_gradient(function: Callable) -> Callable:
    """`tf.custom_gradient`, for functions that are defined before TensorFlow is wanted."""
    differentiable = functools.lru_cache(maxsize=None)(lambda: tf.custom_gradient(function))
    return lambda *inputs: differentiable()(*inputs)


_PLAIN: List[bool] = []


@contextlib.contextmanager
def plain_operations() -> Iterator[None]:
    """Traces graphs without XLA, which a server of models may lack."""
    _PLAIN.append(True)
    try:
        yield
    finally:
        _PLAIN.pop()


def physical_gpus() -> List[str]:
    """Names of the GPUs TensorFlow can use, in stable order."""
    return [device.name for device in tf.config.experimental.list_physical_devices("GPU")]


def peak_bytes(device: str) -> Optional[int]:
    """Most memory that was in use on a GPU; None of a CPU, and where TensorFlow does not count."""
    count = getattr(tf.config.experimental, "get_memory_info", None)
    return count(device)["peak"] if count and "GPU" in device else None


def reset_peak(device: str) -> None:
    """Begins to count the memory of a GPU anew, where TensorFlow counts it."""
    reset = getattr(tf.config.experimental, "reset_memory_stats", None)
    if reset and "GPU" in device:
        reset(device)


def gpu_details() -> List[Dict[str, str]]:
    """What TensorFlow says of each GPU: its name, compute capability, CUDA and cuDNN."""
    describe = getattr(tf.config.experimental, "get_device_details", None)
    if describe is None:  # TensorFlow 1.15
        return [{"name": name} for name in physical_gpus()]
    build = tf.sysconfig.get_build_info()
    found = []
    for gpu in tf.config.experimental.list_physical_devices("GPU"):
        details = describe(gpu)
        capability = ".".join(map(str, details.get("compute_capability", ())))
        found.append(
            {
                "name": str(details.get("device_name", gpu.name)),
                "compute capability": capability,
                "CUDA": str(build.get("cuda_version", "")),
                "cuDNN": str(build.get("cudnn_version", "")),
            }
        )
    return found


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Multiplies float32 matrices in float32 on GPUs that would round them to TF32 first."""
    experimental = tf.config.experimental
    if not hasattr(experimental, "enable_tensor_float_32_execution"):
        yield
        return
    before = experimental.tensor_float_32_execution_enabled()
    experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        experimental.enable_tensor_float_32_execution(before)


def compute_repeatably() -> None:
    """Makes this process choose operations that give the same bits every time, at some cost.

    On a CPU they do so anyway. TensorFlow 1.15 knows it of some GPU operations only.
    """
    if _legacy():
        os.environ["TF_DETERMINISTIC_OPS"] = "1"
    else:
        tf.config.experimental.enable_op_determinism()


def logical_devices(
    kind: str,
    count: int,
    own_threads: bool = True,
    join: Optional[Callable[[], None]] = None,
) -> List[str]:
    """Names of `count` devices of one kind, one tower each, e.g. "/device:CPU:1".

    CPU devices are logical. GPUs are physical and get memory as they need it, so that several
    programs can share one.

    Args:
      kind: "CPU" or "GPU".
      count: How many.
      own_threads: Whether each CPU device gets threads of its own, for its share of the cores,
        instead of all sharing all threads.
      join: Joins other hosts; TensorFlow wants to know its devices before that, and nothing else.

    Raises:
      UsageError: TensorFlow has already started with fewer devices.
    """
    config = tf.config.experimental
    physical = config.list_physical_devices(kind)
    try:
        if kind == "CPU":
            _split_cpu(physical[0], count)
            if own_threads and count > 1:
                _split_cores(count)
        else:
            for gpu in physical:
                config.set_memory_growth(gpu, True)
    except RuntimeError:
        pass  # TensorFlow has started: its devices are what they are, and are counted below
    if join:
        join()
    found = len(config.list_logical_devices(kind))
    if found < count:
        raise UsageError(
            "TensorFlow has started in this process with {} {} devices; {} towers were asked for. "
            "Ask for them before its first operation, in a new process.".format(found, kind, count)
        )
    return ["/device:{}:{}".format(kind, index) for index in range(count)]


def join_hosts(addresses: Sequence[str], index: int, timeout: float) -> None:
    """Makes this process one of several that add up tensors with one another.

    Waits for the others. Whoever is not heard of for `timeout` seconds ends this wait, and later
    the collective operations of everybody, with an error.

    Args:
      addresses: "name:port" of each process.
      index: Of this one.
      timeout: Seconds, more than 1.

    Raises:
      NotImplementedError: In TensorFlow 1.15, whose collectives wait for a lost process for ever.
      tf.errors.OpError: The port is in use, or the others have not come.
    """
    if _legacy():
        raise NotImplementedError
    from tensorflow.python.eager import context

    # The strategy makes the processes watch one another, too, but takes no time for it. The watch
    # looks once in a second whether the time is over.
    watched = int(1000 * (timeout - 1))
    jobs = tf.compat.v1.ConfigProto().experimental.coordination_config.coordinated_job_list
    jobs.add(name="worker", num_tasks=len(addresses))
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader="/job:worker/replica:0/task:0",
        coordinated_jobs=list(jobs),
        cluster_register_timeout_in_ms=watched,
        heartbeat_timeout_in_ms=watched,
        shutdown_barrier_timeout_in_ms=watched,
    )
    tf.distribute.MultiWorkerMirroredStrategy(
        cluster_resolver=tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": list(addresses)}),
            task_type="worker",
            task_id=index,
            rpc_layer="grpc",
        )
    )


def _split_cores(count: int) -> None:
    """Threads of its own for each of several towers.

    An operation that all cores share ends with the slowest of them; towers of one thread each
    never wait for one another.
    """
    if "TF_NUM_INTRAOP_THREADS" not in os.environ:
        cores = usable_cores()
        tf.config.threading.set_intra_op_parallelism_threads(max(1, cores // count))
        tf.config.threading.set_inter_op_parallelism_threads(min(count, cores))


def _split_cpu(device: Any, count: int) -> None:
    config = tf.config.experimental
    if _legacy():
        config.set_virtual_device_configuration(
            device, [config.VirtualDeviceConfiguration() for _ in range(count)]
        )
    else:
        tf.config.set_logical_device_configuration(
            device, [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        )
