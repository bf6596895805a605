"""The command that writes a checkpoint in the formats of others."""

from typing import Any, Dict, List, Sequence

from absl import flags

from albert.formats import FORMATS
from albert.system import command_line
from albert.system.errors import UsageError
from albert.system.help import group
from albert.text.tokenization import Tokenization

CHECKPOINT_FLAGS = (
    "checkpoint",
    "albert_config_file",
    "spm_model_file",
    "do_lower_case",
    "keep_accents",
)
USAGE = """Writes a checkpoint of a run, or a fine-tuned model, in a format that others read.

  python -m albert export --format=hf --output_dir=pretraining_output --export_dir=my-albert

  hf          a folder for transformers: AutoModelForPreTraining, AutoTokenizer
  savedmodel  functions encode, fill_mask and sentence_order for plain TensorFlow
  onnx        the same functions for onnxruntime, as float32 and int8, held to TensorFlow first
  tflite      likewise for TensorFlow Lite, with its built-in operations alone
  tf1         weights alone under the original names, as the published archives hold them
"""


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_enum("format", "hf", FORMATS, "What to write.")
    flags.DEFINE_string("export_dir", None, "Where to write; a new or empty folder.")
    command_line.define_alias("out_dir", "export_dir")
    define_checkpoint_flags()


def define_checkpoint_flags() -> None:
    """Defines the flags that name a checkpoint and what belongs to it."""
    group("The model")
    flags.DEFINE_string("output_dir", None, "The folder of the run.")
    flags.DEFINE_string("checkpoint", None, "Which one; default: the best, else the latest.")
    command_line.define_alias("model_path", "checkpoint")
    flags.DEFINE_string("albert_config_file", None, "Default: the run's albert_config.json.")
    flags.DEFINE_string("spm_model_file", None, "Default: that of the run's records.")
    command_line.define_alias("tokenizer_dir", "spm_model_file")
    flags.DEFINE_bool("do_lower_case", None, "Default: as in the run's records, else False.")
    flags.DEFINE_bool("keep_accents", None, "Default: as in the run's records, else True.")


def checkpoint_flags() -> Dict[str, Any]:
    """The values of those flags but for the folder, by name."""
    return {name: flags.FLAGS[name].value for name in CHECKPOINT_FLAGS}


def tokenization_of(run: str) -> Tokenization:
    """The tokenization of a run, as the flags say."""
    from albert.checkpoints.tokenizer import find_tokenization

    f = flags.FLAGS
    return find_tokenization(run, f.spm_model_file, f.do_lower_case, f.keep_accents)


def main(positional: List[str]) -> int:
    """Exports as the flags say."""
    from albert.tasks.export import export

    f = flags.FLAGS
    if positional or not f.export_dir or not (f.output_dir or f.checkpoint):
        raise UsageError(
            "Pass the run and where to write: python -m albert export --format=hf "
            "--output_dir=pretraining_output --export_dir=my-albert"
        )
    export(f.output_dir or None, f.export_dir, format=f.format, **checkpoint_flags())
    return 0


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
