"""One synchronous training step, and the evaluation step, over all towers."""

from typing import Callable, Dict, List, NamedTuple, Sequence

from albert.compat import compiled, tf
from albert.config import ModelConfig
from albert.errors import UsageError
from albert.losses import WeightedSum, pretraining_sums
from albert.model.albert import Batch, pretraining_output
from albert.optim.schedules import Schedule
from albert.optim.transforms import GradientTransformation, global_norm
from albert.training.state import TrainState
from albert.training.towers import (
    Sums,
    Tensors,
    loss_denominators,
    nccl_sum_gradients,
    split_batch,
    sum_gradients,
    sum_sums,
    tower_gradients,
)

REDUCTIONS = ("tree", "nccl")


class StepResult(NamedTuple):
    """What one step reports.

    Attributes:
      sums: Losses and correct predictions of the whole batch.
      gradient_norm: Global norm of the summed gradient before clipping, [].
      learning_rate: The rate used, [].
      applied: False when the gradient was not finite and nothing was changed, [].
    """

    sums: Dict[str, WeightedSum]
    gradient_norm: tf.Tensor
    learning_rate: tf.Tensor
    applied: tf.Tensor


def check_reduction(reduction: str, devices: Sequence[str]) -> None:
    """Raises a UsageError for an unknown reduction, or NCCL without a GPU for each tower."""
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


def make_train_step(
    config: ModelConfig,
    state: TrainState,
    optimizer: GradientTransformation,
    schedule: Schedule,
    devices: Sequence[str],
    seed: int,
    reduction: str = "tree",
) -> Callable[[Batch], StepResult]:
    """Builds the step: split, run towers, sum, clip, update, assign.

    Args:
      config: The model.
      state: Variables that the step reads and assigns.
      optimizer: The update rule.
      schedule: The rate, for the report; `optimizer` already follows it.
      devices: One tower runs on each.
      seed: Of the dropout masks.
      reduction: How gradients are added: "tree" or "nccl".

    Returns:
      A function of the global batch. A step whose gradient is not finite leaves weights and slots
      unchanged on all towers and counts in `skipped_steps`.
    """
    check_reduction(reduction, devices)
    uses_dropout = max(config.hidden_dropout_prob, config.attention_probs_dropout_prob) > 0.0
    parameter_device = devices[0]

    def run_towers(batch: Batch) -> List:
        denominators = loss_denominators(batch)
        number = tf.cast(state.global_step + state.skipped_steps, tf.int32)
        results = []
        for tower, shard in enumerate(split_batch(batch, len(devices))):
            with tf.device(devices[tower]), tf.name_scope("tower_{}".format(tower)):
                dropout_seed = tf.stack([seed + 7919 * tower, number]) if uses_dropout else None
                tensors = _read(state.parameters)
                results.append(tower_gradients(config, tensors, shard, denominators, dropout_seed))
        return results

    def apply(gradients: Tensors) -> tf.Tensor:
        parameters, slots = _read(state.parameters), _read(state.slots)
        updates, new_slots = optimizer.update(gradients, slots, parameters, state.global_step)
        for name, variable in state.parameters.items():
            variable.assign_add(updates[name])
        for name, variable in state.slots.items():
            variable.assign(new_slots[name])
        state.global_step.assign_add(1)
        return tf.constant(True)

    def skip() -> tf.Tensor:
        state.skipped_steps.assign_add(1)
        return tf.constant(False)

    def step(batch: Batch) -> StepResult:
        results = run_towers(batch)
        gradients = [gradient for gradient, _ in results]
        if reduction == "nccl":
            gradients = nccl_sum_gradients(gradients, devices)
        else:
            gradients = sum_gradients(gradients, parameter_device)
        rate = schedule(state.global_step)
        with tf.device(parameter_device):
            norm = global_norm(gradients)
            applied = tf.cond(tf.math.is_finite(norm), lambda: apply(gradients), skip)
        return StepResult(sum_sums([sums for _, sums in results]), norm, rate, applied)

    return compiled(step)


def make_eval_step(
    config: ModelConfig, parameters: Dict[str, tf.Variable], devices: Sequence[str]
) -> Callable[[Batch], Sums]:
    """Builds the evaluation step: the sums of a global batch, without dropout."""

    def step(batch: Batch) -> Sums:
        sums = []
        for tower, shard in enumerate(split_batch(batch, len(devices))):
            with tf.device(devices[tower]):
                sums.append(
                    pretraining_sums(pretraining_output(config, _read(parameters), shard), shard)
                )
        return sum_sums(sums)

    return compiled(step)


def _read(variables: Dict[str, tf.Variable]) -> Tensors:
    """Reads each variable once on the current device, however many layers use it."""
    return {name: tf.identity(variable) for name, variable in variables.items()}
