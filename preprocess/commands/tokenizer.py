"""The command that trains a tokenizer and reports on it."""

import os
import sys
from typing import List, Sequence

from absl import flags

from albert.system import command_line
from albert.system.errors import UsageError
from preprocess.commands.records import define_source_flags

USAGE = """Trains a SentencePiece model for ALBERT and reports how well it fits.

  python -m preprocess tokenizer --input_file=train.txt --model_prefix=tokenizer \\
    --vocab_size=32000 --heldout_file=valid.txt
"""


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("input_file", None, "A comma list of files, globs and folders; - is piped.")
    define_source_flags()
    flags.DEFINE_string("model_prefix", "tokenizer", ".model and .vocab get this name.")
    flags.DEFINE_string("out_dir", None, "The folder of --model_prefix.")
    flags.DEFINE_string("preset", "malaya", "Options of the malaya or the guide recipe.")
    flags.DEFINE_integer("vocab_size", 0, "Pieces; 0 takes the preset's.", lower_bound=0)
    flags.DEFINE_integer("input_sentence_size", 0, "Sample; 0 takes the preset's.", lower_bound=0)
    flags.DEFINE_float("character_coverage", 0.99995, "Share of characters that get pieces.")
    flags.DEFINE_bool("do_lower_case", False, "Lower-case the text.")
    flags.DEFINE_integer("random_seed", 12345, "Seed of the sample.")
    flags.DEFINE_string("heldout_file", None, "Text to report on; the training text if not set.")


def main(positional: List[str]) -> int:
    """Trains and reports as the flags say."""
    from albert.system.files.atomic import ensure_writable_directory
    from preprocess import tokenizer
    from preprocess.sources import found
    from preprocess.sources.documents import Layout

    f = flags.FLAGS
    if positional or not f.input_file:
        raise UsageError(
            "Give the text with --input_file, for example: python -m preprocess tokenizer "
            "--input_file=train.txt --model_prefix=tokenizer --vocab_size=32000"
        )
    prefix = os.path.join(f.out_dir or "", f.model_prefix)
    heldout = f.heldout_file or f.input_file
    ensure_writable_directory(os.path.dirname(prefix) or ".", "--model_prefix")
    flag = "heldout_file" if f.heldout_file else "input_file"
    measured = found.find(heldout, flag, os.path.dirname(prefix))
    model = tokenizer.train_tokenizer(
        f.input_file,
        prefix,
        f.vocab_size or None,
        f.preset,
        input_sentence_size=f.input_sentence_size or None,
        character_coverage=f.character_coverage,
        do_lower_case=f.do_lower_case,
        random_seed=f.random_seed,
        text_format=f.text_format,
        text_field=f.text_field,
        show_progress=sys.stderr.isatty(),
    )
    lines = tokenizer.sentences(measured, Layout(f.text_format, text_field=f.text_field))
    if f.do_lower_case:
        lines = (line.lower() for line in lines)
    result = tokenizer.report(model, lines)
    print("model: {}, {:,} pieces".format(model, result.vocab_size))
    print("measured on {}: {:,} sentences".format(heldout, result.sentences))
    print("characters covered: {:.4%}".format(result.characters_covered))
    print("unknown pieces: {:.4%}".format(result.unk_rate))
    print("pieces per word: {:.3f}".format(result.pieces_per_word))
    print("pieces never used: {:,}".format(result.unused))
    return 0


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
