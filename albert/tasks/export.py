"""Runs and fine-tuned models in the formats of others: `albert.export`."""

import os
from typing import Any, Optional, Union

from absl import logging

from albert.checkpoints.folder import Checkpoint, folder_of, open_checkpoint, read_flags
from albert.checkpoints.tokenizer import copy_tokenizer, find_tokenization
from albert.formats import FORMATS
from albert.formats.huggingface.folder import SPIECE_FILE, write_folder
from albert.formats.importing import ours
from albert.formats.published import write_published
from albert.formats.saved_model import pretraining_signatures
from albert.system.errors import UsageError, check_one_of
from albert.system.files.atomic import atomic_directory, check_holds_nothing
from albert.tasks.check_rows import rows_of_run
from albert.tasks.export_fine_tuned import served_task, write_huggingface
from albert.tasks.folder import open_fine_tuned, refuse_options_of_runs
from albert.tasks.serving import FUNCTION_FORMATS, Served, check_can_write, write_served
from albert.tasks.task import read_task
from albert.text.tokenization import Tokenization, write_text_options
from albert.training.diagnosis.folder import warn_unless_learned


def export(
    folder: Any,
    export_dir: Union[str, "os.PathLike[str]"],
    *,
    format: str = "hf",
    checkpoint: Optional[str] = None,
    albert_config_file: Optional[str] = None,
    spm_model_file: Optional[str] = None,
    do_lower_case: Optional[bool] = None,
    keep_accents: Optional[bool] = None,
) -> str:
    """Writes a pre-trained or a fine-tuned model in a format that others read.

    Args:
      folder: Of a run or of a fine-tuned model: its path, or what `pretrain` or `finetune`
        returned. None with a `checkpoint` for the folder that is in.
      export_dir: Where to write; a new or empty folder.
      format: "hf", a folder for transformers; "savedmodel", functions for plain TensorFlow;
        "onnx" and "tflite", the same converted, as float32 and int8, and held to TensorFlow on
        rows of the run; "tf1", the weights of a run under the original names, as the published
        archives hold them.
      checkpoint: Which one of a run; the best if None, or the latest where none was kept as the
        best.
      albert_config_file: Config of the model; the run's own if None.
      spm_model_file: Tokenizer; that of the run's records if None.
      do_lower_case: Whether text is to be lower-cased; as in the run's records if None.
      keep_accents: Whether text keeps its combining marks; likewise.

    Returns:
      Path of the folder written.

    Raises:
      UsageError: Something is missing or does not fit, or the format has no equal of the model.

    Example:
      >>> import albert, os
      >>> "model.safetensors" in os.listdir(albert.export("run", "for-transformers"))
      True
      >>> "saved_model.pb" in os.listdir(albert.export("emotion", "served", format="savedmodel"))
      True
    """
    check_one_of("format", format, FORMATS)
    check_can_write(format)
    target = os.fspath(export_dir)
    check_holds_nothing(target, "--export_dir")
    directory = None if folder is None else ours(folder_of(folder))
    if directory is not None and read_task(directory):
        refuse_options_of_runs(
            directory,
            checkpoint=checkpoint,
            albert_config_file=albert_config_file,
            spm_model_file=spm_model_file,
            do_lower_case=do_lower_case,
            keep_accents=keep_accents,
        )
        _export_fine_tuned(directory, target, format)
    else:
        found = open_checkpoint(directory, checkpoint, albert_config_file)
        if format == "tf1":
            found.config.refuse_variants("The original system")
        nothing = warn_unless_learned(found.directory)
        asked = (found.directory, spm_model_file, do_lower_case, keep_accents)
        if format == "hf":
            how = find_tokenization(*asked)
            with atomic_directory(target, "--export_dir") as new:
                write_folder(new, found, how, read_flags(found.directory), nothing)
        else:
            with_text = _tokenization_if_any(*asked)
            with atomic_directory(target, "--export_dir") as new:
                _export_weights(found, with_text, new, format)
    logging.info("Wrote %s: %s", target, ", ".join(sorted(os.listdir(target))))
    return target


def _export_fine_tuned(directory: str, export_dir: str, format: str) -> None:
    if format == "tf1":
        raise UsageError(
            "{} is a fine-tuned model, and its checkpoint holds bare weights already. Export it "
            "with --format=hf, savedmodel, onnx or tflite.".format(directory)
        )
    model = open_fine_tuned(directory)
    with atomic_directory(export_dir, "--export_dir") as new:
        if format == "hf":
            write_huggingface(new, model)
        else:
            write_served(new, served_task(model), format)


def _tokenization_if_any(
    directory: str, spm_model_file: Optional[str], *how: Optional[bool]
) -> Optional[Tokenization]:
    """The tokenization; weights are of use without one."""
    try:
        return find_tokenization(directory, spm_model_file, *how)
    except UsageError as error:
        if spm_model_file:
            raise
        logging.warning("Exported without a tokenizer. %s", error)
        return None


def _export_weights(
    found: Checkpoint, how: Optional[Tokenization], export_dir: str, format: str
) -> None:
    if format in FUNCTION_FORMATS:
        files = {SPIECE_FILE: how.model_file} if how else {}
        signatures = pretraining_signatures(found.config)
        served = Served(signatures, found.weights, files, lambda: rows_of_run(found))
        write_served(export_dir, served, format)
        return
    write_published(export_dir, found.config, found.weights)
    if how:
        name = os.path.splitext(os.path.basename(how.model_file))[0]
        copy_tokenizer(how.model_file, export_dir, name)
        write_text_options(export_dir, how.text)
