"""Pre-training and evaluation from Python; the keywords are the flags of the commands."""

import dataclasses
import os
from typing import Any, Dict, Optional, Sequence, Union

from albert.checkpoints.folder import CONFIG_FILE
from albert.hosts.cluster import check_alone
from albert.model.config import ModelConfig
from albert.system.devices import choose_devices
from albert.system.errors import UsageError
from albert.system.keywords import check_known
from albert.system.options import fields_of, flag_lines, options_of
from albert.system.screen import console
from albert.training.beginning import beginning_of, model_to_train
from albert.training.log.metrics import Metrics, curves_figure, read_metrics
from albert.training.loop.reports import PLATEAU_EXIT_CODE
from albert.training.loop.signals import Interrupted
from albert.training.options import FIELDS, training_options
from albert.training.pretraining import train
from albert.training.setup import preset
from albert.training.validation import ValidationOptions, validate


class Run:
    """A pre-training and its folder.

    Attributes:
      output_dir: The folder.
      on_plateau: Whether --stop_on_plateau ended it.
    """

    def __init__(self, output_dir: str, on_plateau: bool = False) -> None:
        """Names a folder that `pretrain` or `multigpu_pretraining.py` wrote."""
        self.output_dir, self.on_plateau = output_dir, on_plateau

    @property
    def metrics(self) -> Metrics:
        """What the run has logged, a row for each line; a table in a notebook."""
        return read_metrics(self.output_dir)

    def plot(self) -> Any:
        """The learning curves, as a matplotlib figure."""
        figure = curves_figure(self.metrics)
        if figure is None:
            raise UsageError("{} has no metrics to draw yet.".format(self.output_dir))
        return figure

    def __repr__(self) -> str:
        lines = self.metrics
        return "Run({!r}, step {})".format(self.output_dir, lines[-1]["step"] if lines else 0)


def pretrain(
    input_file: Union[str, Sequence[str]],
    *,
    model: Union[str, ModelConfig],
    output_dir: str,
    eval_file: Union[None, str, Sequence[str]] = None,
    towers: int = 0,
    use_gpu: Optional[bool] = None,
    **options: Any,
) -> Run:
    """Pre-trains an ALBERT, resuming what `output_dir` holds.

    >>> import albert
    >>> run = albert.pretrain(
    ...     "train.tfrecord", model="tiny", output_dir="run", eval_file="valid.tfrecord",
    ...     num_train_steps=2000,
    ... )  # doctest: +SKIP
    >>> run.plot()  # doctest: +SKIP

    Args:
      input_file: Record files: a name, comma list or glob, or a list of them.
      model: A preset of `albert_config/`, the path of a config, or a config.
      output_dir: The folder of the run.
      eval_file: Held-out record files, as `input_file`.
      towers: Towers; 0 for all GPUs, or one for each core of the CPU.
      use_gpu: True, False, or None for GPUs where there are any.
      **options: Of `TrainingOptions`, by name of the flag of `multigpu_pretraining.py`:
        num_train_steps, train_batch_size, optimizer, learning_rate, precision, ...

    Returns:
      The run.

    Raises:
      UsageError: It cannot be done as asked; the message says why.
      Interrupted: A signal ended it after it was saved; the same call goes on.
    """
    console.start()
    check_alone("albert.pretrain")
    check_known("pretrain", options, sorted(FIELDS))
    values = dict(
        options,
        input_file=_joined(input_file),
        eval_file=None if eval_file is None else _joined(eval_file),
        output_dir=output_dir,
        init_checkpoint=beginning_of(options.get("init_checkpoint"), output_dir),
    )
    made = training_options(_config(model, values["input_file"]), values)
    made = dataclasses.replace(made, model=model_to_train(made.model, made.start, output_dir))
    devices = choose_devices(use_gpu, towers, (), made.tower_batches, made.xla)
    flags = {name: field.default for name, field in FIELDS.items()}
    flags.update(
        values,
        init_checkpoint=options.get("init_checkpoint"),
        use_gpu=use_gpu,
        num_gpu_cores=towers,
    )
    flags["albert_config_file"] = os.path.join(output_dir, CONFIG_FILE)
    code = train(made, devices, flag_lines(flags))
    if code not in (0, PLATEAU_EXIT_CODE):
        raise Interrupted(code)
    return Run(output_dir, code == PLATEAU_EXIT_CODE)


def _joined(files: Union[str, Sequence[str]]) -> str:
    return files if isinstance(files, str) else ",".join(map(str, files))


def _config(model: Union[str, ModelConfig], records: str) -> ModelConfig:
    if isinstance(model, ModelConfig):
        return model
    if os.path.isfile(model):
        return ModelConfig.from_json_file(model)
    return preset(model, records)


def evaluate(
    run: Any,
    input_file: Union[str, Sequence[str]],
    *,
    checkpoint: Optional[str] = None,
    batch_size: Optional[int] = None,
    towers: int = 0,
    use_gpu: Optional[bool] = None,
    **options: Any,
) -> Dict[str, float]:
    """Evaluates a checkpoint of a run on records, each exactly once.

    >>> import albert
    >>> albert.evaluate("run", "valid.tfrecord")["masked_lm_accuracy"]  # doctest: +SKIP

    Args:
      run: A run, or its folder.
      input_file: Record files: a name, comma list or glob, or a list of them.
      checkpoint: A prefix, also by its name in the folder; None for the latest. Of several, with
        commas, or of "all" in the folder, `validation.jsonl` there has what each is worth.
      batch_size: Examples over all towers; None for 8 a tower.
      towers: Towers; 0 for all GPUs, or one for each core of the CPU.
      use_gpu: True, False, or None for GPUs where there are any.
      **options: Of `ValidationOptions`, by name of the flag of `validation.py`.

    Returns:
      Losses (nats) and accuracies by name, also written to `eval_results.txt`; of several
      checkpoints those with the lowest loss.

    Raises:
      UsageError: Records or checkpoint are missing or do not fit.
    """
    console.start()
    check_alone("albert.evaluate")
    check_known("evaluate", options, sorted(fields_of(ValidationOptions)))
    values = dict(
        options,
        input_file=_joined(input_file),
        output_dir=getattr(run, "output_dir", run),
        checkpoint=checkpoint,
        eval_batch_size=batch_size,
    )
    made = options_of(ValidationOptions, values)
    sizes = [batch_size] if batch_size else []
    done = validate(made, choose_devices(use_gpu, towers, (), sizes, made.xla))
    return min(done, key=lambda one: one.results["loss"]).results
