"""A fine-tuning from files to a folder, as the command and the Python function run it."""

import dataclasses
import os
from typing import Any, Dict, NamedTuple, Optional, Tuple, Union

from absl import logging

from albert.checkpoints.folder import open_checkpoint
from albert.checkpoints.tokenizer import find_tokenization
from albert.formats.importing import ours
from albert.hosts.cluster import check_alone
from albert.model.config import ModelConfig
from albert.system.devices import choose_devices
from albert.system.errors import UsageError
from albert.system.keywords import check_known
from albert.system.options import flag_lines, options_of
from albert.system.screen import console
from albert.tasks.baselines import baselines
from albert.tasks.finetuning.finetune import (
    FIELDS,
    FinetuneOptions,
    Rows,
    check_class_weights,
    finetune_options,
)
from albert.tasks.finetuning.search import Start, claimed, run_trials
from albert.tasks.finetuning.what import TaskOptions
from albert.tasks.inference.fine_tuned import TaskModel
from albert.tasks.inference.load import load
from albert.tasks.rows.features import features_of
from albert.text.encoder import TextEncoder
from albert.training.diagnosis.folder import learned_nothing
from albert.training.step.towers import check_batch_size


@dataclasses.dataclass(frozen=True)
class BeginningOptions:
    """Which model and tokenizer a fine-tuning begins with.

    Attributes:
      init_checkpoint: A run's folder, a checkpoint in one, or what `import` reads; None to start
        from nothing.
      albert_config_file: None for that of the run.
      spm_model_file: None for that of the run's records.
      do_lower_case: None for what the run's records say, else False.
      keep_accents: None for what the run's records say, else True.
    """

    init_checkpoint: Optional[str] = None
    albert_config_file: Optional[str] = None
    spm_model_file: Optional[str] = None
    do_lower_case: Optional[bool] = None
    keep_accents: Optional[bool] = None

    def open(self, output_dir: str) -> Start:
        """Reads model and tokenizer.

        Args:
          output_dir: Where the fine-tuning writes; what must be imported first is kept beside it.

        Raises:
          UsageError: One is missing or does not fit.
        """
        if self.init_checkpoint:
            begin = ours(self.init_checkpoint, output_dir)
            folder, name = (begin, None) if os.path.isdir(begin) else (None, begin)
            how = {"whole": False, "exact": False}
            found = open_checkpoint(folder, name, self.albert_config_file, **how)
            run = folder or os.path.dirname(found.prefix)
            if learned_nothing(run):
                logging.warning(
                    "The run in %s predicts words no better than their frequencies do, so its "
                    "weights may be worth no more than new ones: python -m albert diagnose %s "
                    "says why.",
                    run,
                    run,
                )
            return Start(found.config, found.weights, self._tokenization(run))
        if not (self.albert_config_file and self.spm_model_file):
            raise UsageError(
                "Pass --init_checkpoint=pretraining_output; to start from nothing, pass "
                "--albert_config_file and --spm_model_file instead."
            )
        config = ModelConfig.from_json_file(self.albert_config_file)
        return Start(config, {}, self._tokenization(os.path.dirname(self.spm_model_file)))

    def _tokenization(self, run: str) -> Any:
        return find_tokenization(run, self.spm_model_file, self.do_lower_case, self.keep_accents)


class Devices(NamedTuple):
    """On what a fine-tuning runs; see `system.devices.choose_devices`."""

    use_gpu: Optional[bool] = None
    num_gpu_cores: int = 0
    command: Tuple[str, ...] = ("-m", "albert", "finetune")


def run_finetuning(
    what: TaskOptions,
    beginning: BeginningOptions,
    options: FinetuneOptions,
    output_dir: str,
    trials: int,
    where: Devices,
    flags_text: str,
) -> Dict[str, Any]:
    """Fine-tunes from files to a folder.

    Args:
      what: The task and its files.
      beginning: Model and tokenizer.
      options: How to train.
      output_dir: Where to write: a new folder, or one with an unfinished training of these flags.
      trials: Settings to try.
      where: On which devices.
      flags_text: The flags, kept in the folder.

    Returns:
      The report, as written to `report.json`.

    Raises:
      UsageError: It cannot be done as asked; the message says why.
      Interrupted: A signal ended it; the same call goes on.
    """
    check_alone("Fine-tuning")
    size = options.train_batch_size
    devices = choose_devices(
        where.use_gpu,
        where.num_gpu_cores,
        where.command,
        [size // options.step.accumulation],
        options.xla,
    )
    micro_batches = len(devices) * options.step.accumulation
    check_batch_size(size, micro_batches, "train_batch_size")
    examples, start = what.examples(options.random_seed), beginning.open(output_dir)
    how = start.tokenization
    task = what.task_of(examples, start.config.max_position_embeddings, how.text)
    check_class_weights(task, options.class_weights)
    encoder = TextEncoder(how, start.config)
    train, chosen, test = [features_of(task, encoder, part) if part else None for part in examples]
    rows = Rows(train or [], chosen or [], test)
    others = baselines(task, examples.train, examples.test or examples.held_out)
    on = options.on(devices)
    with claimed(output_dir, flags_text):
        return run_trials(start, task, rows, on, devices, output_dir, trials, others)


def finetune(
    start: Union[str, Any],
    train_file: str,
    *,
    task: str,
    output_dir: str,
    towers: int = 0,
    use_gpu: Optional[bool] = None,
    trials: int = 1,
    **options: Any,
) -> TaskModel:
    """Trains a pre-trained model for a task: to label texts, to tag words...

    >>> import albert
    >>> emotion = albert.finetune(
    ...     "run", "train.tsv", task="classification", output_dir="emotion"
    ... )  # doctest: +SKIP
    >>> emotion.predict(["gembira sekali"])  # doctest: +SKIP

    Args:
      start: A run, its folder, or a checkpoint in one; None to start from nothing.
      train_file: Labelled examples: .tsv, .csv or .jsonl of texts, CoNLL-U of tagged words.
      task: One of `albert.tasks.task.KINDS`: "classification", "tagging", ...
      output_dir: Where to write: a new folder, or one in which the same call was cut off.
      towers: Towers; 0 for all GPUs, or one for each core of the CPU.
      use_gpu: True, False, or None for GPUs where there are any.
      trials: Settings to try: the given one, then random ones.
      **options: Of `TaskOptions`, `BeginningOptions` and `FinetuneOptions`, by name of the flag of
        `python -m albert finetune`: eval_file, test_file, num_train_epochs, learning_rate, ...

    Returns:
      The model of the best epoch, with `report` and `predict`.

    Raises:
      UsageError: It cannot be done as asked; the message says why.
      Interrupted: A signal ended it; the same call goes on.
    """
    kinds = (TaskOptions, BeginningOptions)
    known = [name for kind in kinds for name in kind.__dataclass_fields__] + list(FIELDS)
    console.start()
    check_known("finetune", options, known)
    values = dict(
        options,
        task=task,
        train_file=train_file,
        init_checkpoint=getattr(start, "output_dir", start),
    )
    flags = dict(values, output_dir=output_dir, trials=trials)
    run_finetuning(
        options_of(TaskOptions, values),
        options_of(BeginningOptions, values),
        finetune_options(values),
        output_dir,
        trials,
        Devices(use_gpu, towers, ()),
        flag_lines(flags),
    )
    model = load(output_dir)
    assert isinstance(model, TaskModel), "the folder is a fine-tuned model's"
    return model
