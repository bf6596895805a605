"""What pre-training is worth: fine-tuned, the same model from nothing, and a baseline.

    python benchmarks/transfer.py --init_checkpoint=pretraining_output --spm_model_file=sp.model \
        --emotion=data/emotion --pos=data/pos --output_dir=transfer

Each folder holds train, valid and test as .tsv.gz (columns text and label) or .conllu.gz. All
contenders have the same budget: epochs, batch, early end. Draws barplot/emotion.png and
barplot/pos.png.
"""

import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert.system.errors import exit_on_usage_error  # noqa: E402
from benchmarks.comparison import Files, bar_plot, compare, table  # noqa: E402

TASKS = {
    "emotion": ("classification", ".tsv.gz", "Emotion of Malay texts"),
    "pos": ("tagging", ".conllu.gz", "Parts of speech of Indonesian words"),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--init_checkpoint", required=True, help="folder of the pre-training run")
    parser.add_argument("--spm_model_file", required=True, help="its tokenizer")
    parser.add_argument("--output_dir", required=True, help="folder for the runs")
    for name in TASKS:
        parser.add_argument("--" + name, help="folder with train, valid and test")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--scratch_rate", help="learning rate of the model from nothing")
    parser.add_argument("--json", action="store_true", help="raw numbers, one object")
    parser.add_argument("flags", nargs="*", help="after --: further flags of finetune, for both")
    return parser


def main() -> int:
    """Runs the comparisons that were asked for."""
    arguments = _parser().parse_args()
    shared = ["--spm_model_file=" + arguments.spm_model_file] + arguments.flags
    config = os.path.join(arguments.init_checkpoint, "albert_config.json")
    scratch = ["--albert_config_file=" + config] + shared
    if arguments.scratch_rate:
        scratch.append("--learning_rate=" + arguments.scratch_rate)
    contenders = {
        "pre-trained": ["--init_checkpoint=" + arguments.init_checkpoint] + shared,
        "from scratch": scratch,
    }
    found = {}
    with exit_on_usage_error():
        for name, (kind, ending, title) in TASKS.items():
            folder = getattr(arguments, name)
            if not folder:
                continue
            parts = [os.path.join(folder, part + ending) for part in ("train", "valid", "test")]
            runs = os.path.join(arguments.output_dir, name)
            found[name] = compare(kind, Files(*parts), contenders, arguments.seeds, runs)
            os.makedirs("barplot", exist_ok=True)
            bar_plot("barplot/{}.png".format(name), found[name], title)
    if arguments.json:
        print(json.dumps(found))
    else:
        for name, results in found.items():
            print("\n".join(["", "## " + name, ""] + table(results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
