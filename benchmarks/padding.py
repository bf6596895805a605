"""How much does not computing on padding gain on real records?

  python benchmarks/padding.py --input_file=train.tfrecord [--model=base --batch=16] [--json]

Real (non-padding) tokens a second of the padded, cut and packed batch in turns, and of
transformers where it is installed: padded to the full length, and to the longest of the batch.
"""

import argparse
import os
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from contest import add_flags, available, compete, median_and_spread, report  # noqa: E402


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input_file", required=True)
    parser.add_argument("--model", default="base")
    parser.add_argument("--batch", type=int, default=16)
    add_flags(parser, rounds=5)
    a = parser.parse_args()
    work = {"path": os.path.abspath(a.input_file), "model": a.model, "batch": a.batch}
    table = {
        "ours, padding=" + padding: (
            "benchmarks.works:ours_on_records",
            dict(work, padding=padding),
        )
        for padding in ("none", "bucket", "pack")
    }
    if available("torch") and available("transformers"):
        for name, longest in (("full length", False), ("longest", True)):
            peer = "benchmarks.works:transformers_on_records"
            table["transformers, " + name] = (peer, dict(work, longest=longest))
    times, tokens = compete(table, a.rounds)
    full = times.get("transformers, full length", times["ours, padding=none"])
    rows = []
    for name, seconds in times.items():
        rates = [tokens[name] / value for value in seconds]
        ratio = statistics.median(base / mine for base, mine in zip(full, seconds))
        rows.append([name, median_and_spread(rates), "{:.2f}".format(ratio)])
    header = ["", "real tokens/s"]
    header.append("beside the padded {}".format("peer" if len(times) > 3 else "run"))
    report(a.json, {"tokens": tokens, "seconds": times}, header, rows)


if __name__ == "__main__":
    main()
