"""The command that says whether a release, or the folder of a run, can be used."""

import os
from typing import Iterable, List, Sequence

from absl import flags

from albert.system import command_line
from albert.system.errors import UsageError

USAGE = """Checks a release: checksums, weights against the config, the tokenizer, one batch.

  python -m albert verify --archive=my-albert.tar.gz
  python -m albert verify pretraining_output

Takes the archive, the folder it was unpacked to, or the folder of a run, of which every checkpoint
is checked; also those of Google and the Malay project.
"""


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("archive", None, "A .tar.gz, or a folder.")


def main(positional: List[str]) -> int:
    """Verifies and prints what it saw."""
    source = command_line.flag_or_word("archive", positional)
    if not source:
        raise UsageError("Pass what to verify: python -m albert verify --archive=my-albert.tar.gz")
    from albert.formats.release.unpack import unpacked
    from albert.formats.release.verify import verify
    from albert.system.files.fetch import is_url

    if is_url(source):
        raise UsageError("verify reads files; fetch {} with unpack first.".format(source))
    if os.path.isdir(source):
        _print(verify(source))
    else:
        with unpacked(source, None, None, False) as folder:
            _print(verify(folder))
    return 0


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
