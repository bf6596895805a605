"""The command that makes a folder of a release."""

import os
import sys
from typing import List, Sequence

from absl import flags, logging

from albert.system import command_line
from albert.system.errors import UsageError

USAGE = """Unpacks a release, a file or an http(s) address, into a new folder.

  python -m albert unpack --archive=https://example.org/albert-base.tar.gz --sha256=... \\
    --output_dir=albert-base

Nothing in the archive is trusted: links, devices, paths that lead elsewhere and archives that are
far larger than they look are refused, and then nothing is left on the disk. Run it again to
continue a download that was cut off.
"""


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("archive", None, "A .tar.gz, or its http(s) address.")
    flags.DEFINE_string("sha256", None, "Of the archive; checked before it is read.")
    flags.DEFINE_string("output_dir", None, "Where to write; a new or empty folder.")
    flags.DEFINE_bool("tqdm_off", False, "No progress bar.")


def main(positional: List[str]) -> int:
    """Unpacks as the flags say."""
    f = flags.FLAGS
    source = command_line.flag_or_word("archive", positional)
    if not source or not f.output_dir:
        raise UsageError(
            "Pass what to unpack and where to: python -m albert unpack "
            "--archive=my-albert.tar.gz --output_dir=my-albert"
        )
    from albert.formats.release.unpack import unpack

    progress = not f.tqdm_off and sys.stderr.isatty()
    checked = unpack(source, f.sha256, f.output_dir, progress)
    names = sorted(os.listdir(f.output_dir))
    logging.info("Wrote %s: %s", f.output_dir, ", ".join(names))
    if checked is None:
        logging.info("It has no SHA256SUMS; `verify` tries whether it is whole")
    else:
        logging.info("SHA256SUMS: %d files match", checked)
    return 0


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
