"""The command that cleans text, and its report."""

from typing import Any, Dict, List, Sequence

from absl import flags

from albert.system import command_line
from albert.system.errors import UsageError
from albert.system.files.atomic import atomic_write
from albert.system.help import group
from preprocess.clean import dedup, sentences
from preprocess.commands.records import (
    define_execution_flags,
    define_source_flags,
    execution_from_flags,
)
from preprocess.sources.documents import DOCUMENT_UNITS, Layout
from preprocess.sources.found import REPORT_SUFFIX

USAGE = """Cleans files of many formats into documents: a sentence a line, a blank line between.

Reads txt, JSON, JSONL, CSV, TSV, HTML, SRT, TTML, Parquet and Arrow; each also as .gz, .bz2, .xz
or .zst, in .tar and .zip, in folders, saved datasets, and piped in (-). Example:

  python -m preprocess clean --input_file='raw/*' --output_file=clean/train.txt \\
    --valid_file=clean/valid.txt --valid_fraction=0.02 --dedup=near
"""


def define_flags() -> None:
    """Defines the flags of the command."""
    group("Files")
    flags.DEFINE_string("input_file", None, "A comma list of files, globs and folders; - is piped.")
    flags.DEFINE_string("output_file", None, "Clean documents.")
    flags.DEFINE_string("valid_file", "", "Held-out documents; default: NAME.valid.EXT.")
    flags.DEFINE_float("valid_fraction", 0.0, "Share of documents to hold out.")
    flags.DEFINE_integer("num_files", 1, "Output files NAME-00000-of-0000N.", lower_bound=1)
    group("The text")
    flags.DEFINE_enum("dedup", "exact", dedup.DEDUPS, "Duplicates to drop.")
    flags.DEFINE_enum("splitter", "auto", sentences.SPLITTERS, "Sentence splitter.")
    flags.DEFINE_string("language", "ms", "Language of the text, for the splitter.")
    define_source_flags()
    flags.DEFINE_enum(
        "documents", "blank_line", DOCUMENT_UNITS, "What a document is in plain text."
    )
    command_line.define_alias("json_field", "text_field")
    command_line.define_alias("format", "text_format")
    flags.DEFINE_string("html_select", "", "tag, .class or tag.class of documents in HTML.")
    flags.DEFINE_bool("fix_mojibake", True, "Repair wrongly decoded text.")
    flags.DEFINE_bool("remove_urls", True, "Drop web and mail addresses.")
    flags.DEFINE_bool("remove_handles", True, "Drop @names.")
    flags.DEFINE_bool("do_lower_case", False, "Lower-case the text.")
    define_execution_flags()


def report(manifest: Dict[str, Any]) -> str:
    """The manifest for people."""
    counts = manifest["counts"]
    lines = ["{:>12,}  {}".format(counts[k], k.replace("_", " ")) for k in counts if counts[k]]
    lines.append("{:>12,}  unreadable files".format(manifest["unreadable_files"]))
    lines.append("")
    for path, entry in manifest["inputs"].items():
        if entry["error"]:
            lines.append("UNREADABLE {}: {}".format(path, entry["error"]))
        else:
            lines.append(
                "{documents:>9,} documents  {format:5} {encoding}  {0}".format(path, **entry)
            )
    lines += [""] + ["wrote {}".format(path) for path in manifest["outputs"]]
    return "\n".join(lines) + "\n"


def main(positional: List[str]) -> int:
    """Cleans as the flags say."""
    from preprocess.clean import clean, text

    f = flags.FLAGS
    if positional or not f.input_file or not f.output_file:
        raise UsageError(
            "Give --input_file and --output_file, for example: python -m preprocess clean "
            "--input_file='raw/*' --output_file=clean.txt --valid_fraction=0.02"
        )
    layout = Layout(f.text_format, f.documents, f.text_field, f.html_select)
    cleaning = text.CleaningRules(f.fix_mojibake, f.remove_urls, f.remove_handles, f.do_lower_case)
    manifest = clean.clean(
        clean.CleanOptions(
            f.input_file,
            f.output_file,
            f.valid_file,
            f.valid_fraction,
            f.num_files,
            f.dedup,
            f.splitter,
            f.language,
            layout,
            cleaning,
        ),
        execution_from_flags(),
    )
    readable = report(manifest)
    with atomic_write(f.output_file + REPORT_SUFFIX) as handle:
        handle.write(readable)
    print(readable, end="")
    return 0


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
