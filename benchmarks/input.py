"""How many real tokens a second come out of the input?

  python benchmarks/input.py --static=static.tfrecord --dynamic=dynamic.tfrecord \
      [--batch=64 --workers=0,1,2 --rounds=5] [--json]

Padded and packed batches of both kinds of records: in this process (0), and made by one and two
processes. Settings take turns; a turn is as many batches as hold some 300,000 tokens. Memory is the
most that one worker held.
"""

import argparse
import functools
import os
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from albert.data import workers  # noqa: E402
from albert.data.batches import BatchOrder, training_batches  # noqa: E402
from albert.data.dataset import RecordDataset, Shapes  # noqa: E402
from albert.data.manifest import read_manifest  # noqa: E402
from albert.data.packing import row_layout  # noqa: E402
from benchmarks.contest import add_flags, median_and_spread, report  # noqa: E402

TOKENS = 300_000


def stream(path, padding, batch, count):
    """The batches of a run without end."""
    dataset = RecordDataset([path])
    length, predictions = dataset.record_lengths()
    shapes = Shapes(length, predictions, read_manifest(path).vocab_size, 2)
    make = functools.partial(
        training_batches,
        dataset,
        BatchOrder(dataset.size, batch, 0),
        shapes,
        row_layout(padding, batch, predictions, 1),
    )
    return workers.from_workers(make, count, 0) if count else make(0)


def turn(batches):
    """Tokens a second."""
    tokens, start = 0, time.perf_counter()
    while tokens < TOKENS:
        tokens += int((next(batches)["input_mask"] > 0).sum())
    return tokens / (time.perf_counter() - start)


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
    rows, raw = [], {}
    for kind in ("static", "dynamic"):
        for padding in ("none", "pack"):
            cells, counts = [], [int(n) for n in a.workers.split(",")]
            rates, memory = {count: [] for count in counts}, 0.0
            running = {n: stream(getattr(a, kind), padding, a.batch, n) for n in counts}
            for batches in running.values():
                turn(batches)
            for _ in range(a.rounds):
                for count, batches in running.items():
                    rates[count].append(turn(batches) / 1e6)
            memory = most_memory([process for process in started if process.poll() is None])
            for batches in running.values():
                batches.close()
            cells = [median_and_spread(values) for values in rates.values()]
            rows.append([kind + " masks, padding=" + padding, *cells, "{:.0f}".format(memory)])
            raw[kind + " " + padding] = rates
    header = ["million real tokens/s"] + ["{} workers".format(n) for n in a.workers.split(",")]
    report(a.json, raw, [*header, "MB a worker"], rows)


if __name__ == "__main__":
    main()
