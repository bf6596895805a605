"""The command that shows a model in the browser."""

from typing import List, Sequence

from absl import flags, logging

from albert.system import command_line
from albert.system.errors import UsageError

USAGE = """Shows a model in the browser: fills masks, labels texts, tags words, marks entities.

  python -m albert demo pretraining_output

The page is for this machine alone: nothing else can reach it. Ctrl-C ends it.
"""


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("output_dir", None, "The folder of a run or of a fine-tuned model.")
    flags.DEFINE_integer(
        "port", 8000, "Of the page; 0 takes a free one.", lower_bound=0, upper_bound=65535
    )
    flags.DEFINE_bool("use_gpu", None, "A GPU or the CPU; default: a GPU where there is one.")


def main(positional: List[str]) -> int:
    """Serves the page until Ctrl-C."""
    directory = command_line.flag_or_word("output_dir", positional)
    if not directory:
        raise UsageError("Pass the folder of a model: python -m albert demo pretraining_output")
    from albert.tasks.demo.server import DemoServer
    from albert.tasks.inference.load import load

    with DemoServer(flags.FLAGS.port) as server:
        server.name = directory
        server.model = load(directory, use_gpu=flags.FLAGS.use_gpu)
        server.answer({"text": "[MASK]"})  # the first is slow
        try:
            logging.info("%s answers at %s (Ctrl-C ends it)", server.name, server.address)
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
