"""The command that builds records: flags to options."""

import os
from typing import Any, Dict, List, Sequence

from absl import flags, logging

from albert.records.options import COMPRESSIONS, MASKINGS, SENTENCE_TASKS
from albert.system import command_line
from albert.system.errors import UsageError, quoted
from albert.system.help import group
from preprocess.engines import ENGINES, Execution
from preprocess.sources.documents import FORMATS

USAGE = """Builds ALBERT pre-training records (TFRecords) from text.

Plain text has one sentence a line and a blank line between documents; all that clean reads is
read. Without flags the paths of the Malay project are used. Example:

  create-pretraining-data.py --input_file='corpus/*.txt' --output_file=train.tfrecord \\
    --spm_model_file=tokenizer.model --max_seq_length=512 --dupe_factor=5
"""

# The original driver takes no arguments and reads and writes these.
DEFAULT_INPUT = "../dumping-all.txt"
DEFAULT_MODEL = "sp10m.cased.v8.model"
DEFAULT_OUTPUT = "albert-brightmart.tfrecord"
DEFAULT_PREDICTIONS = 51


def define_flags() -> None:
    """Defines Google's flags and ours."""
    d = flags
    group("Files")
    d.DEFINE_string("input_file", None, "A comma list of files, globs and folders; - is piped.")
    d.DEFINE_string("output_file", None, "Record file, or a comma list to deal examples to.")
    d.DEFINE_string("vocab_file", None, "Accepted; the .model of the same name is used.")
    d.DEFINE_string("spm_model_file", None, "SentencePiece model, or its folder.")
    command_line.define_alias("tokenizer_dir", "spm_model_file")
    d.DEFINE_string("input_file_mode", "r", "Accepted; text is read as UTF-8.")
    group("The text")
    d.DEFINE_bool("do_lower_case", False, "Lower-case the text.")
    d.DEFINE_bool("keep_accents", True, "False strips combining marks, as the originals did.")
    group("Masks and examples")
    d.DEFINE_bool("do_whole_word_mask", True, "Mask all pieces of a word or none.")
    d.DEFINE_bool("do_permutation", False, "Also permute pieces; doubles the predictions.")
    d.DEFINE_bool("favor_shorter_ngram", True, "p(n) ~ 1/n; False reverses the weights.")
    d.DEFINE_bool("random_next_sentence", False, "The same as --sentence_task=nsp.")
    d.DEFINE_enum("sentence_task", None, SENTENCE_TASKS, "Sentence task (default sop).")
    d.DEFINE_enum("masking", "static", MASKINGS, "Draw masks now, or while training (dynamic).")
    d.DEFINE_integer("max_seq_length", 512, "Pieces in a sequence, special ones included.")
    d.DEFINE_integer("ngram", 3, "Longest run of words masked together.")
    d.DEFINE_integer(
        "max_predictions_per_seq", 0, "Cap; 0 follows masked_lm_prob x max_seq_length."
    )
    d.DEFINE_integer("random_seed", 12345, "Seed of everything random.")
    d.DEFINE_integer("dupe_factor", 5, "How often each document is used, with other masks.")
    d.DEFINE_float("masked_lm_prob", 0.15, "Share of pieces to predict.")
    d.DEFINE_integer("min_pieces", 4, "Shorter single-segment examples are dropped.")
    d.DEFINE_float("short_seq_prob", 0.1, "Share of documents cut into shorter sequences.")
    group("What is written")
    d.DEFINE_integer("num_shards", 1, "Number of output files name-00000-of-0000N.")
    d.DEFINE_enum("compression", "none", COMPRESSIONS, "Compression of the records.")
    d.DEFINE_bool("gzip_compress", False, "The same as --compression=gzip.")
    define_source_flags()
    define_execution_flags()


def define_source_flags() -> None:
    """Defines the flags that say how text is found in its files."""
    flags.DEFINE_enum("text_format", "auto", FORMATS, "Format of all files.")
    flags.DEFINE_string(
        "text_field",
        "",
        "Path of the text in JSON, as article.body, or its column; else the fullest.",
    )


def define_execution_flags() -> None:
    """Defines the flags that say how work is carried out."""
    group("The machine")
    flags.DEFINE_integer("num_workers", 0, "Processes; 0 means one for each core.", lower_bound=0)
    flags.DEFINE_enum("engine", "local", ENGINES, "Where the work runs.")
    flags.DEFINE_string("ray_address", "", "Ray cluster to join: auto or ray://host:port.")
    flags.DEFINE_bool("tqdm_off", False, "Log lines instead of a progress bar.")


def execution_from_flags() -> Execution:
    """The `Execution` that the flags describe."""
    f = flags.FLAGS
    return Execution(f.num_workers, f.engine, f.ray_address, f.tqdm_off)


def arguments_from_flags() -> Dict[str, Any]:
    """The arguments of `build_records` that the flags describe.

    Raises:
      UsageError: A flag is missing or wrong.
    """
    from albert.records.options import RecordOptions
    from albert.text.vocabulary import resolve_model

    f = flags.FLAGS
    bare = f.input_file is None and f.output_file is None
    if bare:
        _check_defaults()
    for name in ("input_file", "output_file"):
        if not bare and not f[name].value:
            raise UsageError("--{} is not set. {}".format(name, _full_command()))
    fields = {name: f[name].value for name in RecordOptions.__dataclass_fields__}
    fields["input_file"] = DEFAULT_INPUT if bare else f.input_file
    fields["output_file"] = DEFAULT_OUTPUT if bare else f.output_file
    if bare and not f["max_predictions_per_seq"].present:
        fields["max_predictions_per_seq"] = DEFAULT_PREDICTIONS
    del fields["spm_model_file"]
    fields["tokenizer"] = resolve_model(
        f.spm_model_file or (DEFAULT_MODEL if bare else ""), f.vocab_file or ""
    )
    fields["sentence_task"] = _sentence_task(f)
    if f.gzip_compress:
        fields["compression"] = "gzip"
    if f.masking == "dynamic" and f["dupe_factor"].present and f.dupe_factor != 1:
        logging.warning("--masking=dynamic draws new masks in every epoch: --dupe_factor is 1.")
    return fields


def _sentence_task(f: flags.FlagValues) -> str:
    if f.random_next_sentence and f.sentence_task not in (None, "nsp"):
        raise UsageError(
            "--random_next_sentence means --sentence_task=nsp, but --sentence_task={} is set. "
            "Leave one of them out.".format(f.sentence_task)
        )
    return "nsp" if f.random_next_sentence else f.sentence_task or "sop"


def _check_defaults() -> None:
    f = flags.FLAGS
    wanted = [DEFAULT_INPUT] + ([] if f.spm_model_file or f.vocab_file else [DEFAULT_MODEL])
    missing = [path for path in wanted if not os.path.isfile(path)]
    if missing:
        raise UsageError(
            "No --input_file given, and the default paths are missing: looked for {}. {}".format(
                " and ".join(os.path.abspath(path) for path in missing), _full_command()
            )
        )


def _full_command() -> str:
    return (
        "A full command: python3 create-pretraining-data.py --input_file=corpus.txt "
        "--output_file=train.tfrecord --spm_model_file=tokenizer.model --max_seq_length=512 "
        "--dupe_factor=5 --masked_lm_prob=0.15 --short_seq_prob=0.1"
    )


def main(positional: List[str]) -> int:
    """Builds the records that the flags describe."""
    if positional:
        raise UsageError(
            "Unexpected argument {}. Flags are written --name=value.".format(quoted(positional[0]))
        )
    arguments = arguments_from_flags()
    execution = execution_from_flags()
    from preprocess.records.build import build_records

    build_records(execution=execution, **arguments)
    return 0


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
