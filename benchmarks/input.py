"""How many real tokens a second come out of the input?

  python benchmarks/input.py --static=static.tfrecord --dynamic=dynamic.tfrecord \
      [--batch=64 --workers=0,1,2 --rounds=5] [--json]

Padded and packed batches of both kinds of records: in this process (0), and made by one and two
processes. Settings take turns; a turn is as many batches as hold some 300,000 tokens. Memory is the
most that one worker held.
"""

import argparse
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from albert.data import workers  # noqa: E402
from albert.data.source import DataOptions  # noqa: E402
from albert.model.config import ModelConfig  # noqa: E402
from albert.records.manifest import read_manifest  # noqa: E402
from albert.training.gpu_check.feeding import batches_of, tokens_per_second  # noqa: E402
from benchmarks.contest import add_flags, median_and_spread, report  # noqa: E402


def opened(path):
    """The records of a file, for a model of their own vocabulary."""
    config = ModelConfig(read_manifest(path).vocab_size)
    return DataOptions(path).open("input_file", config, progress=False)


def most_memory(started):
    """The most that one of these processes has held, MB; 0 where there are none."""
    peaks = [0.0]
    for process in started:
        with open("/proc/{}/status".format(process.pid), encoding="utf-8") as handle:
            peaks += [float(line.split()[1]) / 1e3 for line in handle if line.startswith("VmHWM")]
    return max(peaks)


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--static", required=True, help="records with masks")
    parser.add_argument("--dynamic", required=True, help="records of --masking=dynamic")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", default="0,1,2")
    add_flags(parser, rounds=5)
    a = parser.parse_args()
    plain_start, started = workers._start, []
    workers._start = lambda: started.append(plain_start()) or started[-1]
    counts, rows, raw = [int(n) for n in a.workers.split(",")], [], {}
    for kind in ("static", "dynamic"):
        for padding in ("none", "pack"):
            rates = {count: [] for count in counts}
            data = opened(getattr(a, kind))
            running = {n: batches_of(data, padding, a.batch, n) for n in counts}
            for batches in running.values():
                tokens_per_second(batches)
            for _ in range(a.rounds):
                for count, batches in running.items():
                    rates[count].append(tokens_per_second(batches) / 1e6)
            memory = most_memory([process for process in started if process.poll() is None])
            for batches in running.values():
                batches.close()
            cells = [median_and_spread(values) for values in rates.values()]
            rows.append([kind + " masks, padding=" + padding, *cells, "{:.0f}".format(memory)])
            raw[kind + " " + padding] = rates
    header = ["million real tokens/s"] + ["{} workers".format(count) for count in counts]
    report(a.json, raw, [*header, "MB a worker"], rows)


if __name__ == "__main__":
    main()
