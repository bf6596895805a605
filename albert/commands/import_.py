"""The command that makes a run folder of a checkpoint made elsewhere."""

import os
import sys
from typing import List, Sequence

import numpy as np
from absl import flags, logging

from albert.system import command_line
from albert.system.errors import UsageError
from albert.text.tokenization import TextOptions

USAGE = """Reads a model made elsewhere and writes it as a checkpoint to go on from.

  python -m albert import --source=my-albert --output_dir=imported
  python3 multigpu_pretraining.py --init_checkpoint=imported/model.ckpt-0 \\
    --albert_config_file=imported/albert_config.json ...

The source is a folder of transformers (.safetensors, or .bin, read as weights only), or a folder or
checkpoint of Google, brightmart or the Malay project; or an archive (.tar.gz) of one of these, or
its http(s) address. Run it again to continue a download that was cut off.
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
    from albert.checkpoints.manager import PREFIX
    from albert.checkpoints.state import GLOBAL_STEP
    from albert.checkpoints.tokenizer import copy_tokenizer
    from albert.formats.huggingface.folder import is_folder, read_folder
    from albert.formats.published import (
        find_published,
        read_published,
        write_published,
    )
    from albert.optim.transforms import FIRST_MOMENT
    from albert.system.files.atomic import atomic_directory
    from albert.text.tokenization import read_text_options, write_text_options

    f = flags.FLAGS
    prefix = find_published(source)
    if prefix:
        found = read_published(prefix, f.albert_config_file, f.ln_type)
        config, tensors, step, spm = found
        text = read_text_options(os.path.dirname(prefix))
    elif is_folder(source):
        if f.albert_config_file or f.ln_type:
            raise UsageError(
                "{} is a folder of transformers, whose config.json says all; leave out "
                "--albert_config_file and --ln_type.".format(source)
            )
        config, tensors, spm, text = read_folder(source)
        step = 0
    else:
        raise UsageError(
            "{} is neither a checkpoint (PREFIX.index), nor a folder with one, nor a folder of "
            "transformers (config.json and model.safetensors).".format(source)
        )
    name = PREFIX + str(step)
    counted = dict(tensors, **{GLOBAL_STEP: np.int64(step)})
    with atomic_directory(f.output_dir, "--output_dir") as folder:
        write_published(folder, config, counted, name)
        write_text_options(folder, text)
        if spm:
            copy_tokenizer(spm, folder, "tokenizer")
    if not spm:
        logging.warning("The source has no SentencePiece model; records need its own tokenizer.")
    slots = any(key.endswith(FIRST_MOMENT) for key in tensors)
    _say_how_to_go_on(os.path.join(f.output_dir, name), slots, text)


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
