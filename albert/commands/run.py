"""The command that does a whole recipe."""

import sys
from typing import List, Sequence

from absl import flags

from albert.system import command_line
from albert.system.errors import UsageError

USAGE = """Does what a file says, from text to an exported model.

  python -m albert run recipe.yaml
  python -m albert run recipe.yaml train.learning_rate=1e-3 model.hidden_size=256
  python -m albert run recipe.yaml --sweep=train.learning_rate=1e-3,2e-3

The file has sections, YAML or JSON: text (clean), tokenizer, records, model (a preset and what
differs from it), train, evaluate, finetune, export. The keys of each are flags of its command;
files are passed on from step to step. The same command again leaves alone what is done and goes on
with what was cut off. A step whose settings have changed is done again, and what it had made is
kept.
"""


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_bool("dry_run", False, "Only say what would be done.")
    flags.DEFINE_multi_string("sweep", [], "SECTION.KEY=VALUE,VALUE: a run for each value.")


def main(positional: List[str]) -> int:
    """Does it."""
    if not positional:
        raise UsageError("Name the recipe, for example: python -m albert run recipe.yaml")
    from albert.recipe.run import Failed, run_recipe

    f = flags.FLAGS
    try:
        folders = run_recipe(positional[0], *positional[1:], sweep=f.sweep, dry_run=f.dry_run)
    except Failed as failed:
        print("{} The same command goes on.".format(failed), file=sys.stderr)
        return failed.code if failed.code > 0 else 128 - failed.code
    if not f.dry_run:
        print("\n=== Done: {}".format(", ".join(folders)))
    return 0


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
