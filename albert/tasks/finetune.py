"""Fine-tuning: epochs over labelled examples on towers, the best epoch kept."""

import dataclasses
import sys
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from absl import logging
from tqdm import tqdm

from albert.checkpoints.manager import CheckpointManager
from albert.checkpoints.state import GLOBAL_STEP, create_state
from albert.data.batches import prefetch
from albert.model.config import ModelConfig
from albert.optim.optimizers import OptimizerConfig, make_optimizer
from albert.optim.rates import finetuning_rate
from albert.optim.schedules import polynomial_with_warmup
from albert.system.errors import check_seed
from albert.tasks.batching import filled, shuffled_batches
from albert.tasks.features import Features, make_batch
from albert.tasks.model import fine_tuning, initial_weights
from albert.tasks.predictor import Predictor, expected_and_predicted
from albert.tasks.scores import score
from albert.tasks.task import Task
from albert.training.evaluation import Totals
from albert.training.log.metrics import MetricsLog, draw_curves
from albert.training.step import StepOptions, make_train_step

_PANELS = (("loss", "loss (nats)"), ("accuracy", "accuracy"), ("macro_f1", "macro F1"))


@dataclasses.dataclass(frozen=True)
class FinetuneOptions:
    """How a task is trained.

    Attributes:
      train_batch_size: B, over all towers.
      num_train_epochs: Epochs at most.
      patience: Epochs without a better score after which the training ends.
      learning_rate: Peak rate, or None for `finetuning_rate`.
      warmup_proportion: Share of all updates in which the rate rises.
      dropout: Of hidden states, attention and the head's input.
      weight_decay: Decoupled decay of kernels.
      balanced: Whether rare labels weigh as much as frequent ones.
      random_seed: Of new weights, order and dropout.
      step: How a step is computed.
      tqdm_off: Whether the progress bar stays off.
    """

    train_batch_size: int = 32
    num_train_epochs: int = 5
    patience: int = 2
    learning_rate: Optional[float] = None
    warmup_proportion: float = 0.1
    dropout: float = 0.1
    weight_decay: float = 0.01
    balanced: bool = False
    random_seed: int = 12345
    step: StepOptions = StepOptions()
    tqdm_off: bool = False

    def __post_init__(self) -> None:
        check_seed(self.random_seed)


class Outcome(NamedTuple):
    """The best epoch of a training.

    Attributes:
      epoch: Its number, from 1.
      step: Updates until its end.
      scores: Of the evaluation examples.
      weights: By name.
    """

    epoch: int
    step: int
    scores: Dict[str, float]
    weights: Dict[str, np.ndarray]


def main_score(task: Task, scores: Mapping[str, float]) -> float:
    """What the best epoch has most of: macro F1 of texts, accuracy of tags."""
    return scores["accuracy" if task.tags_words else "macro_f1"]


def with_dropout(config: ModelConfig, rate: float) -> ModelConfig:
    """The model as it is fine-tuned."""
    return dataclasses.replace(config, hidden_dropout_prob=rate, attention_probs_dropout_prob=rate)


def finetune(
    config: ModelConfig,
    task: Task,
    pretrained: Mapping[str, np.ndarray],
    train: Sequence[Features],
    held_out: Sequence[Features],
    options: FinetuneOptions,
    devices: Sequence[str],
    directory: str,
) -> Outcome:
    """Trains, evaluates after every epoch, and keeps the weights of the best one.

    Writes `model.ckpt-STEP` of the best epoch, `metrics.jsonl` and `learning_curves.png`.

    Args:
      config: The model, with the dropout to train with.
      task: Its labels.
      pretrained: Weights to start from, by name; empty to start from nothing.
      train: Rows to train on.
      held_out: Rows that choose the epoch.
      options: How.
      devices: One tower runs on each.
      directory: Where to write.
    """
    size = options.train_batch_size
    updates = -(-len(train) // size) * options.num_train_epochs
    values = initial_weights(config, task, pretrained, options.random_seed)
    rate = options.learning_rate or finetuning_rate(config)
    schedule = polynomial_with_warmup(rate, updates, int(options.warmup_proportion * updates))
    rule = OptimizerConfig(name="adamw", weight_decay=options.weight_decay, bias_correction=True)
    optimizer = make_optimizer(rule, schedule, values)
    state = create_state(values, optimizer, devices[0], options.step.precision)
    objective = fine_tuning(config, task, class_weights(task, train, options.balanced))
    step = make_train_step(
        objective, state, optimizer, schedule, devices, options.random_seed, options.step
    )
    logging.info(
        "Fine-tuning on %d rows, %d updates an epoch, learning rate %.3g",
        len(train),
        updates // options.num_train_epochs,
        rate,
    )
    predictor = Predictor(config, task, state.parameters, devices[0], options.step.precision)
    log, manager = MetricsLog(directory, 0), CheckpointManager(directory, keep=1)
    best, random = None, np.random.RandomState(options.random_seed)
    for epoch in range(1, options.num_train_epochs + 1):
        batches = _epoch(task, train, size, random)
        means = _run_epoch(step, batches, -(-len(train) // size), epoch, options)
        done = int(state.global_step.numpy())
        log.write("train", done, dict(means, epoch=epoch))
        scores = score(*expected_and_predicted(held_out, predictor.labels(held_out)))
        log.write("eval", done, dict(scores, epoch=epoch))
        logging.info(
            "epoch %d: training loss %.4f  accuracy %.4f  macro F1 %.4f  weighted F1 %.4f",
            epoch,
            means["loss"],
            *[scores[name] for name in ("accuracy", "macro_f1", "weighted_f1")],
        )
        if best is None or main_score(task, scores) > main_score(task, best.scores):
            saved = dict(state.parameters, **{GLOBAL_STEP: state.global_step})
            manager.save(saved, done)
            weights = {name: variable.numpy() for name, variable in state.parameters.items()}
            best = Outcome(epoch, done, scores, weights)
        elif epoch - best.epoch >= options.patience:
            logging.info("No better than epoch %d for %d epochs", best.epoch, options.patience)
            break
    log.close()
    draw_curves(directory, _PANELS)
    return best


def class_weights(task: Task, rows: Sequence[Features], balanced: bool) -> List[float]:
    """A weight for each label: 1, or so that all labels weigh the same together."""
    if not balanced:
        return [1.0] * len(task.labels)
    labels = np.concatenate([row.labels for row in rows])
    counts = np.bincount(labels[labels >= 0], minlength=len(task.labels))
    return list(counts.sum() / (len(task.labels) * np.maximum(counts, 1)))


def _epoch(task: Task, rows: Sequence[Features], size: int, random: np.random.RandomState):
    for numbers in shuffled_batches([len(row.encoded.ids) for row in rows], size, random):
        chosen = [None if n is None else rows[n] for n in filled(numbers, size)]
        yield make_batch(task, chosen, task.max_seq_length)


def _run_epoch(step, batches, count: int, epoch: int, options: FinetuneOptions) -> Dict[str, Any]:
    bar = tqdm(
        prefetch(batches),
        total=count,
        desc="epoch {}".format(epoch),
        disable=options.tqdm_off or not sys.stderr.isatty(),
        leave=False,
    )
    totals = Totals()
    for batch in bar:
        totals.add(step(batch).sums)
    return totals.means()
