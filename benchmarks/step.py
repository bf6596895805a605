"""How fast is a training step, beside the machine's matrix products and transformers?

  python benchmarks/step.py [--model=base --batch=8 --length=128] [--rounds=5] [--json]

Forward, backward and update, in turns within one run; medians and half the interquartile range.
transformers takes part where torch and transformers are installed.

Operations are those of the model, whoever computes it: 541 GFLOP for base. Ours leaves out what no
head reads of the last block; the last column counts what is left.
"""

import argparse
import os
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from contest import add_flags, available, compete, median_and_spread, report  # noqa: E402
from works import matmul_flops  # noqa: E402

from albert.model.config import ModelConfig  # noqa: E402
from albert.model.flops import training_flops  # noqa: E402


def contenders(model, batch, length, predictions):
    """Name -> (target, options)."""
    mine = {"model": model, "batch": batch, "length": length, "predictions": predictions}
    table = {
        "matmul f32": ("benchmarks.works:matmuls", {}),
        "matmul bf16": ("benchmarks.works:matmuls", {"bfloat16": True}),
        "products f32": ("benchmarks.works:products", mine),
        "products bf16": ("benchmarks.works:products", dict(mine, bfloat16=True)),
        "ours f32": ("benchmarks.works:ours", mine),
        "ours f32 xla": ("benchmarks.works:ours", dict(mine, xla=True)),
        "ours bf16": ("benchmarks.works:ours", dict(mine, precision="mixed_bfloat16")),
    }
    if available("torch") and available("transformers"):
        peer = "benchmarks.works:transformers"
        table.update(
            {
                "transformers f32": (peer, mine),
                "transformers f32 compile": (peer, dict(mine, compiled=True)),
                "transformers bf16": (peer, dict(mine, bfloat16=True)),
                "transformers bf16 compile": (peer, dict(mine, bfloat16=True, compiled=True)),
            }
        )
    return table


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="base")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--predictions", type=int, default=20)
    parser.add_argument("--only", default="", help="comma list of contenders")
    add_flags(parser, rounds=5)
    a = parser.parse_args()
    table = contenders(a.model, a.batch, a.length, a.predictions)
    if a.only:
        table = {name: table[name] for name in a.only.split(",")}
    times, _ = compete(table, a.rounds)
    sizes = ModelConfig.from_json_file(a.model), a.batch, a.length, a.predictions
    flops = training_flops(*sizes)
    computed = training_flops(*sizes, last_block=a.predictions + 1)
    rates = {}
    for name, values in times.items():
        work = matmul_flops() if name.startswith("matmul") else flops
        rates[name] = [work / seconds / 1e9 for seconds in values]
    rows = []
    for name, values in rates.items():
        peak = "matmul bf16" if "bf16" in name else "matmul f32"
        share = sequences = left = ""
        if peak in rates and name != peak:
            of_peak = statistics.median(v / p for v, p in zip(values, rates[peak]))
            share = "{:.2f}".format(of_peak)
            if name.startswith(("ours", "products")):
                left = "{:.2f}".format(of_peak * computed / flops)
        if not name.startswith("matmul"):
            sequences = "{:.2f}".format(a.batch / statistics.median(times[name]))
        rows.append([name, median_and_spread(values), sequences, share, left])
    header = ["", "GFLOP/s", "sequences/s", "of the matmul peak", "computed"]
    measured = {"flops": flops, "computed_flops": computed, "seconds": times}
    report(a.json, measured, header, rows)


if __name__ == "__main__":
    main()
