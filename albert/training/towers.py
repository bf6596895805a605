"""Towers: each device takes a share of the batch, and the shares of the gradient add up.

A tower is a pure function of tensors on one device. Every tower divides its loss by the weights of
the whole batch, so the sum over towers *is* the gradient of the undivided batch, however unevenly
masked words fall. (Averaging per-tower means, as the field's code does, is not.)
"""

from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from albert.compat import tf
from albert.config import ModelConfig
from albert.errors import UsageError
from albert.losses import (
    SUM_NAMES,
    WeightedSum,
    masked_lm_weight,
    pretraining_sums,
    sentence_order_weights,
    total_loss,
)
from albert.model.albert import Batch, pretraining_output
from albert.precision import POLICIES, Policy

Tensors = Dict[str, tf.Tensor]
Sums = Dict[str, WeightedSum]

_SEED_STEP = 32452843  # between the dropout seeds of micro-batches


class Denominators(NamedTuple):
    """Weights of the whole batch, the same for all its towers."""

    masked_lm: tf.Tensor  # []
    sentence_order: tf.Tensor  # []


def check_batch_size(batch_size: int, num_towers: int, flag: str) -> None:
    """Refuses a batch that does not divide over the towers.

    Raises:
      UsageError: With the nearest size that does.
    """
    if batch_size >= num_towers and batch_size % num_towers == 0:
        return
    nearest = max(num_towers, num_towers * ((batch_size + num_towers // 2) // num_towers))
    raise UsageError(
        "When running with multiple GPUs, batch size must be a multiple of the number of available "
        "GPUs. Found {} GPUs with a batch size of {}; try --{}={} instead.".format(
            num_towers, batch_size, flag, nearest
        )
    )


def split_batch(batch: Batch, num_towers: int) -> List[Batch]:
    """Cuts every feature along axis 0 into equal shards."""
    shards = [{} for _ in range(num_towers)]  # type: List[Dict[str, tf.Tensor]]
    for name, value in batch.items():
        for shard, part in zip(shards, tf.split(value, num_towers)):
            shard[name] = part
    return shards


def loss_denominators(batch: Batch) -> Denominators:
    """Counts masked words and labelled examples of the whole batch, before it is split."""
    return Denominators(
        masked_lm_weight(batch),
        tf.reduce_sum(sentence_order_weights(batch["sentence_order_labels"])),
    )


def tower_gradients(
    config: ModelConfig,
    tensors: Mapping[str, tf.Tensor],
    shard: Batch,
    denominators: Denominators,
    dropout_seed: Optional[tf.Tensor] = None,
    loss_scale: Optional[tf.Tensor] = None,
    precision: Policy = POLICIES["float32"],
    recompute: bool = False,
) -> Tuple[Tensors, Sums]:
    """One shard's part of the gradient of the batch loss, and its sums for the log.

    A pure function of tensors on one device.

    Args:
      config: The model.
      tensors: Every weight by name, float32.
      shard: The features of this tower's rows.
      denominators: Of the whole batch.
      dropout_seed: int32 [2]; None trains without dropout.
      loss_scale: [], multiplies the loss and so the gradients; None for 1.
      precision: In which type to compute.
      recompute: Whether activations are computed again in the backward pass.

    Returns:
      Dense float32 gradients by name, and the sums.
    """
    with tf.GradientTape() as tape:
        tape.watch(list(tensors.values()))
        output = pretraining_output(config, tensors, shard, dropout_seed, recompute, precision)
        sums = pretraining_sums(output, shard)
        loss = total_loss(
            sums["masked_lm_loss"].total,
            denominators.masked_lm,
            sums["sentence_order_loss"].total,
            denominators.sentence_order,
        )
        if loss_scale is not None:
            loss *= loss_scale
    names = list(tensors)
    gradients = tape.gradient(loss, [tensors[name] for name in names])
    # A lookup's gradient is sparse; dense ones add up and have a norm.
    return {name: tf.convert_to_tensor(g) for name, g in zip(names, gradients)}, sums


Tower = Callable[[Tensors, Batch, Optional[tf.Tensor]], Tuple[Tensors, Sums]]


def accumulate(
    tower: Tower, tensors: Tensors, shard: Batch, dropout_seed: Optional[tf.Tensor], count: int
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
        {name: WeightedSum(tf.zeros([]), tf.zeros([])) for name in SUM_NAMES},
    )

    def body(number, total):
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
    """Adds the gradients of all towers with NCCL; every tower must have a GPU of its own."""
    summed = {}
    for name in gradients[0]:
        results = []
        for gradient, device in zip(gradients, devices):
            with tf.device(device):
                results.append(
                    tf.raw_ops.NcclAllReduce(
                        input=gradient[name],
                        reduction="sum",
                        num_devices=len(devices),
                        shared_name="gradient/" + name,
                    )
                )
        summed[name] = results[0]
    return summed


def sum_sums(sums: Sequence[Sums]) -> Sums:
    """Adds the weighted sums of all towers."""
    return {
        name: WeightedSum(
            tree_sum([s[name].total for s in sums]), tree_sum([s[name].weight for s in sums])
        )
        for name in sums[0]
    }
