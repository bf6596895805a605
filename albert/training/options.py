"""What one training run is told to do."""

import dataclasses
from typing import Optional

from albert.model.config import ModelConfig
from albert.optim.optimizers import OptimizerConfig
from albert.optim.schedules import Schedule, polynomial_with_warmup
from albert.system.errors import check_seed
from albert.training.step import StepOptions


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """Options of a run; sizes are global, over all towers.

    Attributes:
      input_file: Record files, comma list and globs.
      eval_file: Held-out record files, or None.
      output_dir: Run directory, or None to write nothing.
      init_checkpoint: Weights to start from, or None.
      init_from_group0: Whether new groups start as copies of the checkpoint's group 0.
      max_seq_length: S, or None for that of the records.
      max_predictions_per_seq: P, or None for that of the records.
      small: Share of the records to train on.
      train_batch_size: B.
      eval_batch_size: B of evaluation.
      num_train_steps: Updates in the whole run.
      num_warmup_steps: Updates of warm-up.
      start_warmup_step: Update at which warm-up begins.
      learning_rate: Peak rate.
      poly_power: Power of the decay.
      save_checkpoints_steps: Updates between checkpoints.
      keep_checkpoint_max: Rolling checkpoints kept.
      eval_steps: Updates between evaluations.
      max_eval_steps: Batches an evaluation reads at most, or None.
      log_steps: Updates between log lines.
      random_seed: Of weights, data order and dropout.
      stop_on_plateau: Minutes after which a run still on the plateau ends; 0 for never.
      max_rollbacks: Returns to the last checkpoint, or the start, from gradients that stay bad.
      padding: What to do about padding: "none", "bucket" or "pack".
      tqdm_off: Whether progress bars stay off.
      memory_limit_gb: Memory that the towers of one device may take, or None for what is free.
      step: How a step is computed.
    """

    input_file: str
    eval_file: Optional[str]
    output_dir: Optional[str]
    init_checkpoint: Optional[str]
    init_from_group0: bool
    max_seq_length: Optional[int]
    max_predictions_per_seq: Optional[int]
    small: float
    train_batch_size: int
    eval_batch_size: int
    num_train_steps: int
    num_warmup_steps: int
    start_warmup_step: int
    learning_rate: float
    poly_power: float
    save_checkpoints_steps: int
    keep_checkpoint_max: int
    eval_steps: int
    max_eval_steps: Optional[int]
    log_steps: int
    random_seed: int
    stop_on_plateau: float
    max_rollbacks: int
    padding: str
    tqdm_off: bool
    memory_limit_gb: Optional[float]
    step: StepOptions
    optimizer: OptimizerConfig
    model: ModelConfig

    def __post_init__(self) -> None:
        check_seed(self.random_seed)

    def schedule(self) -> Schedule:
        """The learning rate of this run."""
        return polynomial_with_warmup(
            self.learning_rate,
            self.num_train_steps,
            self.num_warmup_steps,
            self.poly_power,
            self.start_warmup_step,
        )
