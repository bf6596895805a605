"""Towers: each device takes a share of the batch, and the shares of the gradient add up.

A tower is a pure function of tensors on one device. Every tower divides its loss by the weights of
the whole batch, so the sum over towers *is* the gradient of the undivided batch, however unevenly
masked words fall. (Averaging per-tower means, as the field's code does, is not.)
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from albert.compat import tf
from albert.hosts.buffer import joined, parted
from albert.model.albert import Batch
from albert.model.losses import WeightedSum
from albert.model.precision import POLICIES, Policy
from albert.system.errors import UsageError
from albert.training.step.objective import Objective, Sums, Tensors

_SEED_STEP = 32452843  # between the dropout seeds of micro-batches


def check_batch_size(batch_size: int, num_towers: int, flag: str) -> None:
    """Refuses a batch that does not divide over the towers.

    Raises:
      UsageError: With the nearest size that does.
    """
    if batch_size >= num_towers and batch_size % num_towers == 0:
        return
    nearest = max(num_towers, num_towers * ((batch_size + num_towers // 2) // num_towers))
    raise UsageError(
        "A batch is cut into equal parts, one for each tower. Found {} towers with a batch size of "
        "{}; try --{}={} instead.".format(num_towers, batch_size, flag, nearest)
    )


def split_batch(batch: Batch, num_towers: int) -> Sequence[Batch]:
    """Cuts every feature along axis 0 into equal shards."""
    shards: List[Dict[str, tf.Tensor]] = [{} for _ in range(num_towers)]
    for name, value in batch.items():
        for shard, part in zip(shards, tf.split(value, num_towers)):
            shard[name] = part
    return shards


def tower_gradients(
    objective: Objective,
    tensors: Mapping[str, tf.Tensor],
    shard: Batch,
    denominators: Any,
    dropout_seed: Optional[tf.Tensor] = None,
    loss_scale: Optional[tf.Tensor] = None,
    precision: Policy = POLICIES["float32"],
    recompute: bool = False,
) -> Tuple[Tensors, Sums]:
    """One shard's part of the gradient of the batch loss, and its sums for the log.

    A pure function of tensors on one device.

    Args:
      objective: What is minimised.
      tensors: Every weight by name, float32.
      shard: The features of this tower's rows.
      denominators: Of the whole batch, by the objective.
      dropout_seed: int32 [2]; None trains without dropout.
      loss_scale: [], multiplies the loss and so the gradients; None for 1.
      precision: In which type to compute.
      recompute: Whether activations are computed again in the backward pass.

    Returns:
      Dense float32 gradients by name, and the sums.
    """
    with tf.GradientTape() as tape:
        tape.watch(list(tensors.values()))
        sums = objective.sums(tensors, shard, dropout_seed, recompute, precision)
        loss = objective.loss(sums, denominators)
        if loss_scale is not None:
            loss *= loss_scale
    names = list(tensors)
    gradients = tape.gradient(loss, [tensors[name] for name in names])
    # A lookup's gradient is sparse; dense ones add up and have a norm.
    return {name: tf.convert_to_tensor(g) for name, g in zip(names, gradients)}, sums


Tower = Callable[[Tensors, Batch, Optional["tf.Tensor"]], Tuple[Tensors, Sums]]


def accumulate(
    tower: Tower,
    tensors: Tensors,
    shard: Batch,
    dropout_seed: Optional[tf.Tensor],
    count: int,
    sum_names: Sequence[str],
) -> Tuple[Tensors, Sums]:
    """Runs a tower over `count` equal micro-batches of its shard and adds up what they return.

    Exact, because every micro-batch divides by the denominators of the whole batch.
    """
    if count == 1:
        return tower(tensors, shard, dropout_seed)
    micro = {
        name: tf.reshape(value, [count, -1] + value.shape.as_list()[1:])
        for name, value in shard.items()
    }
    micro = {  # a static shape of each micro-batch, for the compiler
        name: tf.ensure_shape(value, [count, shard[name].shape[0] // count] + value.shape[2:])
        for name, value in micro.items()
    }
    zeros = (
        {name: tf.zeros(value.shape) for name, value in tensors.items()},
        {name: WeightedSum(tf.zeros([]), tf.zeros([])) for name in sum_names},
    )

    def body(number: tf.Tensor, total: Any) -> Tuple[tf.Tensor, Any]:
        part = {name: value[number] for name, value in micro.items()}
        seed = None if dropout_seed is None else dropout_seed + [0, _SEED_STEP * number]
        result = tower(tensors, part, seed)
        return number + 1, tf.nest.map_structure(tf.add, total, result)

    # One at a time: parallel iterations would hold the activations of several.
    _, total = tf.while_loop(
        lambda number, _: number < count, body, (tf.constant(0), zeros), parallel_iterations=1
    )
    return total


def tree_sum(values: Sequence[tf.Tensor]) -> tf.Tensor:
    """Sums pairwise: halves rounding error against a running sum, and has one fixed order."""
    values = list(values)
    while len(values) > 1:
        pairs = [a + b for a, b in zip(values[::2], values[1::2])]
        values = pairs + values[2 * len(pairs) :]
    return values[0]


def sum_gradients(gradients: Sequence[Tensors], device: str) -> Tensors:
    """Adds the gradients of all towers on the parameter device."""
    with tf.device(device):
        return {name: tree_sum([g[name] for g in gradients]) for name in gradients[0]}


def nccl_sum_gradients(gradients: Sequence[Tensors], devices: Sequence[str]) -> Tensors:
    """Adds the gradients of all towers with NCCL in one buffer.

    Every tower must have a GPU of its own.
    """
    results = []
    for gradient, device in zip(gradients, devices):
        with tf.device(device):
            results.append(
                tf.raw_ops.NcclAllReduce(
                    input=joined(list(gradient.values())),
                    reduction="sum",
                    num_devices=len(devices),
                    shared_name="gradients",
                )
            )
    with tf.device(devices[0]):
        values = parted(results[0], list(gradients[0].values()))
    return dict(zip(gradients[0], values))


def sum_sums(sums: Sequence[Sums]) -> Sums:
    """Adds the weighted sums of all towers."""
    return {
        name: WeightedSum(
            tree_sum([s[name].total for s in sums]), tree_sum([s[name].weight for s in sums])
        )
        for name in sums[0]
    }
