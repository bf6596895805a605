"""The command that writes a checkpoint in the formats of others."""

import os
from typing import List, Sequence

from absl import flags, logging

from albert.system import command_line
from albert.system.errors import UsageError

FORMATS = ("hf", "savedmodel", "tf1")
USAGE = """Writes a checkpoint of a run, or a fine-tuned model, in a format that others read.

  python -m albert export --format=hf --output_dir=pretraining_output --export_dir=my-albert

  hf          a folder for transformers: AutoModelForPreTraining, AutoTokenizer
  savedmodel  functions encode, fill_mask and sentence_order for plain TensorFlow
  tf1         weights alone under the original names, as the published archives hold them
"""


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_enum("format", "hf", FORMATS, "What to write.")
    flags.DEFINE_string("export_dir", None, "Where to write; a new or empty folder.")
    define_checkpoint_flags()


def define_checkpoint_flags() -> None:
    """Defines the flags that name a checkpoint and what belongs to it."""
    flags.DEFINE_string("output_dir", None, "The folder of the run.")
    flags.DEFINE_string("checkpoint", None, "Which one; default: the best, else the latest.")
    flags.DEFINE_string("albert_config_file", None, "Default: the run's albert_config.json.")
    flags.DEFINE_string("spm_model_file", None, "Default: that of the run's records.")
    flags.DEFINE_bool("do_lower_case", None, "Default: as in the run's records, else False.")
    flags.DEFINE_bool("keep_accents", None, "Default: as in the run's records, else True.")


def main(positional: List[str]) -> int:
    """Exports as the flags say."""
    from albert.checkpoints.folder import open_checkpoint
    from albert.system.files import ensure_new_directory
    from albert.tasks.task import read_task

    f = flags.FLAGS
    if positional or not f.export_dir or not (f.output_dir or f.checkpoint):
        raise UsageError(
            "Pass the run and where to write: python -m albert export --format=hf "
            "--output_dir=pretraining_output --export_dir=my-albert"
        )
    if f.output_dir and read_task(f.output_dir):
        _export_fine_tuned(f.output_dir)
    else:
        checkpoint = open_checkpoint(f.output_dir, f.checkpoint, f.albert_config_file)
        ensure_new_directory(f.export_dir, "--export_dir")
        run = f.output_dir or os.path.dirname(checkpoint.prefix)
        {"hf": _huggingface, "savedmodel": _saved_model, "tf1": _weights}[f.format](checkpoint, run)
    names = sorted(os.listdir(f.export_dir))
    logging.info("Wrote %s: %s", f.export_dir, ", ".join(names))
    return 0


def _export_fine_tuned(directory: str) -> None:
    from albert.system.files import ensure_new_directory
    from albert.tasks.export import write_huggingface, write_served
    from albert.tasks.folder import open_fine_tuned

    f = flags.FLAGS
    refuse_flags_of_runs(directory)
    if f.format == "tf1":
        raise UsageError(
            "{} is a fine-tuned model, and its checkpoint holds bare weights already. Export it "
            "with --format=hf or --format=savedmodel.".format(directory)
        )
    model = open_fine_tuned(directory)
    ensure_new_directory(f.export_dir, "--export_dir")
    (write_huggingface if f.format == "hf" else write_served)(f.export_dir, model, directory)


def refuse_flags_of_runs(directory: str, *more: str) -> None:
    """Refuses flags that a fine-tuned model's folder has the answers to itself.

    Args:
      directory: The folder.
      *more: Further flags that would do nothing.

    Raises:
      UsageError: One of them was given.
    """
    names = ("checkpoint", "albert_config_file", "spm_model_file", "do_lower_case", "keep_accents")
    given = [name for name in names + more if flags.FLAGS[name].present]
    if given:
        raise UsageError(
            "{} is a fine-tuned model and has all in its folder; leave out --{}.".format(
                directory, " and --".join(given)
            )
        )


def tokenization_of(run: str):
    """The tokenization of a run, as the flags say."""
    from albert.checkpoints.tokenizer import find_tokenization

    f = flags.FLAGS
    return find_tokenization(run, f.spm_model_file, f.do_lower_case, f.keep_accents)


def _tokenizer_if_any(run: str):
    """The tokenization; weights are of use without one."""
    try:
        return tokenization_of(run)
    except UsageError as error:
        if flags.FLAGS.spm_model_file:
            raise
        logging.warning("Exported without a tokenizer. %s", error)
        return None


def _huggingface(checkpoint, run: str) -> None:
    from albert.checkpoints.folder import read_flags
    from albert.formats.huggingface.folder import write_folder

    write_folder(flags.FLAGS.export_dir, checkpoint, tokenization_of(run), read_flags(run))


def _saved_model(checkpoint, run: str) -> None:
    from albert.formats.huggingface.folder import SPIECE_FILE
    from albert.formats.saved_model import write_pretraining_model

    how = _tokenizer_if_any(run)
    extra = {SPIECE_FILE: how.model_file} if how else {}
    write_pretraining_model(flags.FLAGS.export_dir, checkpoint.config, checkpoint.weights, extra)


def _weights(checkpoint, run: str) -> None:
    from albert.formats.published import copy_tokenizer, write_published
    from albert.text.tokenization import write_text_options

    f = flags.FLAGS
    how = _tokenizer_if_any(run)
    write_published(f.export_dir, checkpoint.config, checkpoint.weights)
    if how:
        name = os.path.splitext(os.path.basename(how.model_file))[0]
        copy_tokenizer(how.model_file, f.export_dir, name)
        write_text_options(f.export_dir, how.text)


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
