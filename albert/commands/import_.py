"""The command that makes a run folder of a checkpoint made elsewhere."""

import os
import sys
from typing import List, Sequence

from absl import flags, logging

from albert.system import command_line
from albert.system.errors import UsageError
from albert.text.tokenization import TextOptions

USAGE = """Reads a model made elsewhere and writes it as a checkpoint to go on from.

  python -m albert import --source=my-albert --output_dir=imported
  python3 multigpu_pretraining.py --init_checkpoint=imported/model.ckpt-0 \\
    --albert_config_file=imported/albert_config.json ...

The source is a folder of transformers (.safetensors, or .bin, read as weights only; also of a model
that labels texts or words), or a folder or checkpoint of Google, brightmart or the Malay project;
or an archive (.tar.gz) of one of these, or its http(s) address. Run it again to continue a download
that was cut off.
"""


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("source", None, "Folder, checkpoint, .tar.gz, or http(s) address of one.")
    flags.DEFINE_string("sha256", None, "Of the archive; checked before it is read.")
    flags.DEFINE_bool("tqdm_off", False, "No progress bar.")
    flags.DEFINE_string("output_dir", None, "Where to write; a new or empty folder.")
    flags.DEFINE_string("albert_config_file", None, "Default: the one beside the checkpoint.")
    flags.DEFINE_enum(
        "ln_type", None, ("preln", "postln"), "brightmart: where layers are normalised."
    )


def main(positional: List[str]) -> int:
    """Imports as the flags say."""
    from albert.formats.release.unpack import is_archive, unpacked
    from albert.system.files.atomic import check_holds_nothing

    f = flags.FLAGS
    source = command_line.flag_or_word("source", positional)
    if not source or not f.output_dir:
        raise UsageError(
            "Pass what to read and where to write: python -m albert import --source=my-albert "
            "--output_dir=imported"
        )
    check_holds_nothing(f.output_dir, "--output_dir")  # before a long download
    if is_archive(source):
        progress = not f.tqdm_off and sys.stderr.isatty()
        with unpacked(source, f.sha256, f.output_dir, progress) as folder:
            _import(folder)
    elif f.sha256:
        raise UsageError("--sha256 is for a .tar.gz or its address. Received {}.".format(source))
    else:
        _import(source)
    return 0


def _import(source: str) -> None:
    from albert.formats.importing import read_source, write_imported

    f = flags.FLAGS
    found = read_source(source, f.albert_config_file, f.ln_type).completed()
    write_imported(f.output_dir, found)
    if not found.spm_model_file and not found.spm_model:
        logging.warning("The source has no SentencePiece model; records need its own tokenizer.")
    if found.task:
        logging.info("Wrote %s", f.output_dir)
        print("Use it: python -m albert predict --output_dir={}".format(f.output_dir))
    else:
        prefix = os.path.join(f.output_dir, found.name)
        _say_how_to_go_on(prefix, found.has_slots, found.text)


def _say_how_to_go_on(prefix: str, slots: bool, text: TextOptions) -> None:
    logging.info("Wrote %s", prefix)
    folder = os.path.dirname(prefix)
    print(
        "Start from it: --init_checkpoint={} --albert_config_file={}".format(
            prefix, os.path.join(folder, "albert_config.json")
        )
    )
    if slots:
        print("It has its optimizer's state: --output_dir={} continues it.".format(folder))
    needed = ["--do_lower_case"] if text.do_lower_case else []
    needed += [] if text.keep_accents else ["--nokeep_accents"]
    if needed:
        print("Make its records with {}".format(" ".join(needed)))


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
