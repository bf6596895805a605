"""The command that makes a release of a checkpoint."""

import os
from typing import List, Sequence

from absl import flags, logging

from albert.commands.export import define_checkpoint_flags, tokenization_of
from albert.system import command_line
from albert.system.errors import UsageError

USAGE = """Packs a checkpoint of a run for others: one archive with one folder.

  python -m albert pack --output_dir=pretraining_output --archive=my-albert.tar.gz

The folder holds the weights under the original names, the config, the tokenizer, the evaluation of
this checkpoint if there was one, a README and SHA256SUMS. Packed again it has the same bytes.
"""


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("archive", None, "Where to write: NAME.tar.gz.")
    define_checkpoint_flags()


def main(positional: List[str]) -> int:
    """Packs as the flags say."""
    f = flags.FLAGS
    if positional or not f.archive or not (f.output_dir or f.checkpoint):
        raise UsageError(
            "Pass the run and where to write: python -m albert pack "
            "--output_dir=pretraining_output --archive=my-albert.tar.gz"
        )
    from albert.checkpoints.folder import open_checkpoint, read_flags
    from albert.formats.release.pack import pack, release_name
    from albert.system.files.sums import sha256_file
    from albert.tasks.task import read_task

    release_name(f.archive)
    if f.output_dir and read_task(f.output_dir):
        raise UsageError(
            "{} is a fine-tuned model; pack is for pre-trained ones. Share the folder that "
            "`python -m albert export` makes of it.".format(f.output_dir)
        )
    checkpoint = open_checkpoint(f.output_dir, f.checkpoint, f.albert_config_file)
    run_folder = checkpoint.directory
    pack(f.archive, checkpoint, tokenization_of(run_folder), read_flags(run_folder))
    if not checkpoint.results:
        logging.warning("There is no evaluation of step %d to pack", checkpoint.step)
    logging.info("Wrote %s, %s bytes", f.archive, "{:,}".format(os.path.getsize(f.archive)))
    print("--archive={} --sha256={}".format(f.archive, sha256_file(f.archive)))
    return 0


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
