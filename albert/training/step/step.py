"""One synchronous training step, over all towers of all hosts, and the evaluation step."""

from __future__ import annotations

import functools
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from albert.checkpoints.state import TrainState
from albert.compat import compiled, tf
from albert.hosts.group import ALONE, Hosts
from albert.model.albert import Batch
from albert.model.losses import WeightedSum
from albert.model.precision import LossScale, policy
from albert.optim.chain import Optimizer
from albert.optim.schedules import Schedule
from albert.optim.transforms import global_norm
from albert.system.errors import UsageError
from albert.system.options import Flags
from albert.training.step.objective import Objective, Sums, Tensors
from albert.training.step.towers import (
    accumulate,
    nccl_sum_gradients,
    split_batch,
    sum_gradients,
    sum_sums,
    tower_gradients,
)

REDUCTIONS = ("auto", "tree", "nccl")


class StepOptions(NamedTuple):
    """How a step is computed; none of it changes what it computes but for rounding.

    Attributes:
      precision: A key of `precision.POLICIES`.
      xla: Whether each tower is compiled by XLA.
      accumulation: Micro-batches a tower runs one after the other.
      recompute: Whether activations are computed again in the backward pass.
      reduction: How gradients of towers are added: "tree", "nccl", or "auto" for NCCL where
        several towers have a GPU of their own.
    """

    precision: str = "float32"
    xla: bool = False
    accumulation: int = 1
    recompute: bool = False
    reduction: str = "auto"


# Fields whose flags have other names; whether XLA compiles is known when the devices are.
FLAGS_OF_STEP: Flags = {StepOptions: {"accumulation": "gradient_accumulation_steps", "xla": None}}


class StepResult(NamedTuple):
    """What one step reports.

    Attributes:
      sums: Losses and correct predictions of the whole batch.
      gradient_norm: Global norm of the summed gradient before clipping, [].
      learning_rate: The rate used, [].
      applied: False when the gradient was not finite and nothing was changed, [].
      tokens: Of the whole batch, without padding, [].
      wishes: What each host wished the run to do next, [hosts]; 0 is to go on.
      network: Seconds spent adding up with other hosts, [].
    """

    sums: Dict[str, WeightedSum]
    gradient_norm: tf.Tensor
    learning_rate: tf.Tensor
    applied: tf.Tensor
    tokens: tf.Tensor
    wishes: tf.Tensor
    network: tf.Tensor


def choose_reduction(reduction: str, devices: Sequence[str]) -> str:
    """How gradients of towers are added: "tree" or "nccl".

    Raises:
      UsageError: There is no such way, or NCCL lacks a GPU for each tower.
    """
    if reduction not in REDUCTIONS:
        raise UsageError(
            "Unknown reduction '{}'; must be one of: {}.".format(reduction, ", ".join(REDUCTIONS))
        )
    distinct_gpus = len(set(devices)) == len(devices) and all("GPU" in name for name in devices)
    if reduction == "nccl" and not distinct_gpus:
        raise UsageError(
            "--reduction=nccl needs a GPU of its own for each tower. Found towers on {}. Use "
            "--reduction=tree.".format(", ".join(devices))
        )
    if reduction == "auto":
        return "nccl" if distinct_gpus and len(devices) > 1 else "tree"
    return reduction


def make_train_step(
    objective: Objective,
    state: TrainState,
    optimizer: Optimizer,
    schedule: Schedule,
    devices: Sequence[str],
    seed: int,
    options: StepOptions = StepOptions(),  # noqa: B008  (a NamedTuple does not change)
    hosts: Hosts = ALONE,
) -> Callable[..., StepResult]:
    """Builds the step: split, run towers, sum, clip, update, assign.

    Args:
      objective: What is minimised.
      state: Variables that the step reads and assigns.
      optimizer: The update rule.
      schedule: The rate, for the report; `optimizer` already follows it.
      devices: One tower runs on each.
      seed: Of the dropout masks.
      options: How it is computed.
      hosts: Which share the batch; each has a state of its own, and all do the same update.

    Returns:
      A function of this host's rows of the global batch, and of what this host wishes the run to do
      next, float32 []. A step whose gradient is not finite leaves weights and slots
      unchanged on all towers and counts in `skipped_steps`.
    """
    reduction = choose_reduction(options.reduction, devices)
    first_tower = hosts.index * len(devices)
    run_towers = _make_towers(objective, state, devices, first_tower, seed, options)
    parameter_device = devices[0]

    def apply(gradients: Tensors, norm: tf.Tensor) -> tf.Tensor:
        parameters, slots = _read(state.parameters), _read(state.slots)
        step = tf.identity(state.global_step)
        updates, new_slots = optimizer.update(gradients, slots, parameters, step, norm)
        for name, variable in state.parameters.items():
            variable.assign_add(updates[name])
        for name, variable in state.slots.items():
            variable.assign(new_slots[name])
        state.global_step.assign_add(1)
        _adjust_scale(state, applied=True)
        return tf.constant(True)

    def skip() -> tf.Tensor:
        state.skipped_steps.assign_add(1)
        _adjust_scale(state, applied=False)
        return tf.constant(False)

    def step(batch: Batch, wish: Optional[tf.Tensor] = None) -> StepResult:
        whole = _of_all_hosts(objective, hosts, batch, tf.zeros([]) if wish is None else wish)
        results = run_towers(batch, whole.denominators)
        parts = [gradient for gradient, _ in results]
        if reduction == "nccl":
            gradients = nccl_sum_gradients(parts, devices)
        else:
            gradients = sum_gradients(parts, parameter_device)
        sums = sum_sums([sums for _, sums in results])
        summed = hosts.sum(tf.nest.flatten((gradients, sums)), "gradients")
        gradients, sums = tf.nest.pack_sequence_as((gradients, sums), summed.values)
        rate = schedule(state.global_step)
        with tf.device(parameter_device):
            if state.loss_scale:
                gradients = {n: g / state.loss_scale["loss_scale"] for n, g in gradients.items()}
            norm = global_norm(gradients)
            applied = tf.cond(tf.math.is_finite(norm), lambda: apply(gradients, norm), skip)
        network = whole.network + summed.seconds
        return StepResult(sums, norm, rate, applied, whole.tokens, whole.wishes, network)

    return compiled(step)


class _Whole(NamedTuple):
    """What is known of the whole batch before its gradient."""

    denominators: Any
    tokens: tf.Tensor  # []
    wishes: tf.Tensor  # [hosts]
    network: tf.Tensor  # [], seconds


def _of_all_hosts(objective: Objective, hosts: Hosts, batch: Batch, wish: tf.Tensor) -> _Whole:
    denominators = objective.denominators(batch)
    tokens = tf.reduce_sum(tf.cast(batch["input_mask"] > 0, tf.float32))
    wishes = wish * tf.one_hot(hosts.index, hosts.count)
    parts = (denominators, tokens, wishes)
    summed = hosts.sum(tf.nest.flatten(parts), "denominators")
    denominators, tokens, wishes = tf.nest.pack_sequence_as(parts, summed.values)
    return _Whole(denominators, tokens, wishes, summed.seconds)


def _make_towers(
    objective: Objective,
    state: TrainState,
    devices: Sequence[str],
    first_tower: int,
    seed: int,
    options: StepOptions,
) -> Callable[[Batch, Any], List]:
    gradients = compiled(
        functools.partial(
            tower_gradients,
            objective,
            precision=policy(options.precision),
            recompute=options.recompute,
        ),
        options.xla,
    )

    def run(batch: Batch, denominators: Any) -> List:
        number = tf.cast(state.global_step + state.skipped_steps, tf.int32)
        scale = state.loss_scale.get("loss_scale")
        scale = None if scale is None else tf.identity(scale)

        def tower(
            tensors: Tensors, shard: Batch, dropout_seed: Optional[tf.Tensor]
        ) -> Tuple[Tensors, Sums]:
            return gradients(tensors, shard, denominators, dropout_seed, scale)

        results = []
        for index, shard in enumerate(split_batch(batch, len(devices))):
            with tf.device(devices[index]), tf.name_scope("tower_{}".format(index)):
                dropout_seed = None
                if objective.uses_dropout:
                    dropout_seed = tf.stack([seed + 7919 * (first_tower + index), number])
                results.append(
                    accumulate(
                        tower,
                        _read(state.parameters),
                        shard,
                        dropout_seed,
                        options.accumulation,
                        objective.sum_names,
                    )
                )
        return results

    return run


def _adjust_scale(state: TrainState, applied: bool) -> None:
    if state.loss_scale:
        names = ("loss_scale", "loss_scale_good_steps")
        old = LossScale(*[tf.identity(state.loss_scale[name]) for name in names])
        for name, value in zip(names, old.after(applied)):
            state.loss_scale[name].assign(value)


def make_eval_step(
    objective: Objective,
    parameters: Dict[str, tf.Variable],
    devices: Sequence[str],
    precision: str = "float32",
    xla: bool = False,
) -> Callable[[Batch], Sums]:
    """Builds the evaluation step: the sums of a global batch, without dropout."""

    def tower_sums(tensors: Tensors, shard: Batch) -> Sums:
        return objective.sums(tensors, shard, precision=policy(precision))

    tower = compiled(tower_sums, xla)

    def step(batch: Batch) -> Sums:
        sums = []
        for index, shard in enumerate(split_batch(batch, len(devices))):
            with tf.device(devices[index]):
                sums.append(tower(_read(parameters), shard))
        return sum_sums(sums)

    return compiled(step)


def _read(variables: Dict[str, tf.Variable]) -> Tensors:
    """Reads each variable once on the current device, however many layers use it."""
    return {name: tf.identity(variable) for name, variable in variables.items()}
