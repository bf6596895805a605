"""What could a step take on a card at best, and what holds it back?

  python benchmarks/roofline.py [--model=base --batch=64 --length=512] [--card=H100] [--json]

Traces the gradient of one tower as XLA's program, on any machine, and counts for each matrix
product and each pass over memory the operations and the bytes that it cannot do without. A product
reads its operands and writes its result; what lies between products and sums over an axis is
computed on the way, as XLA fuses it, unless it costs less to write it once. The time of each is the
larger of operations over the card's peak and bytes over its bandwidth; nothing for launches,
nothing lost to shapes. So the MFU is a bound from above, and the order of what costs time is the
point.
"""

import argparse
import collections
import math
import os
import re
import sys
from typing import NamedTuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from contest import add_json_flag, report  # noqa: E402
from works import random_batch  # noqa: E402

from albert.model.config import ModelConfig  # noqa: E402
from albert.model.flops import training_flops  # noqa: E402


class Card(NamedTuple):
    """Peaks of a card from its data sheet: operations and bytes a second."""

    bfloat16: float
    float32: float  # of products, as TF32
    bandwidth: float


CARDS = {
    "A100": Card(312e12, 156e12, 2.04e12),
    "H100": Card(989e12, 495e12, 3.35e12),
    "H200": Card(989e12, 495e12, 4.8e12),
}
_BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "f32": 4, "s32": 4, "u32": 4}
_BYTES.update({"s64": 8, "u64": 8, "f64": 8})
_FREE = ("parameter", "constant", "iota", "tuple", "get-tuple-element")
_ALIAS = ("reshape", "bitcast", "copy")
_OWN_PASS = ("dot", "reduce", "scatter", "gather", "concatenate", "pad", "sort")
_LINE = re.compile(
    r"^\s*(ROOT )?%(?P<name>\S+) = (?P<type>[a-z0-9]+)\[(?P<shape>[\d,]*)\]\S* "
    r"(?P<kind>[a-z-]+)\((?P<operands>.*?)\)(?P<rest>.*)$"
)


class Value(NamedTuple):
    """An instruction of the program."""

    kind: str
    type: str
    shape: tuple
    operands: tuple
    rest: str

    @property
    def bytes(self):
        """Size in memory."""
        return _BYTES.get(self.type, 4) * math.prod(self.shape)


class Pass(NamedTuple):
    """Something that reads, computes and writes."""

    what: str
    flops: float
    bytes: float
    seconds: float


def program(config, batch, precision):
    """The gradient of one tower as text, before any optimisation."""
    from albert.compat import tf
    from albert.model.initial import initial_values
    from albert.model.precision import policy
    from albert.training.step.objective import loss_denominators, pretraining
    from albert.training.step.towers import tower_gradients

    objective = pretraining(config)

    def gradient(tensors, batch):
        whole = loss_denominators(batch)
        return tower_gradients(objective, tensors, batch, whole, precision=policy(precision))

    values = {name: tf.constant(value) for name, value in initial_values(config, 0).items()}
    batch = {name: tf.constant(value) for name, value in batch.items()}
    traced = tf.function(gradient, jit_compile=True, autograph=False)
    return traced.experimental_get_compiler_ir(values, batch)(stage="hlo")


def parse(text):
    """The instructions of the main computation by name, and what it returns."""
    main = text[text.index("\nENTRY ") :]
    values, results = {}, ()
    for line in main.splitlines():
        found = _LINE.match(line)
        operands = tuple(re.findall(r"%([^\s,()]+)", line.partition("(")[2].partition(")")[0]))
        if found:
            shape = tuple(int(size) for size in found["shape"].split(",") if size)
            rest = found["rest"]
            values[found["name"]] = Value(found["kind"], found["type"], shape, operands, rest)
        elif " tuple(" in line:
            results = tuple(re.findall(r"%([^\s,()]+)", line.split(" tuple(")[1]))
    return values, results


def passes(values, results, card):
    """Everything that must read and write memory."""
    memory = _Memory(values, results)
    for name, value in values.items():
        if value.kind == "dot":
            operands = {memory.stored(operand) for operand in value.operands}
            yield _product(value, values, memory.size(operands) + value.bytes, card)
        elif value.kind in _OWN_PASS or name in memory.written:
            kind = value.kind if value.kind in _OWN_PASS else "pass"
            moved = memory.size(memory.read_by(name)) + value.bytes
            what = "{} {} {}".format(kind, value.type, list(value.shape))
            yield _timed(what, 0.0, moved, card)


class _Memory:
    """What of a program lies in memory, and what is computed on the fly.

    Attributes:
      written: Names of values between products and sums that are written all the same: products
        read nothing else, and what several passes want may cost more to compute again.
    """

    def __init__(self, values, results):
        """Decides in the order of the program."""
        self._values, self.written = values, set()
        users = collections.Counter()
        needed = {self.stored(name) for name in results if name in values}
        for value in values.values():
            if value.kind in _ALIAS:
                continue
            operands = {self.stored(operand) for operand in value.operands}
            users.update(operands)
            if value.kind in ("dot", "scatter", "gather", "concatenate"):
                needed |= operands
        for name, value in values.items():
            if value.kind in _FREE + _OWN_PASS + _ALIAS:
                continue
            read, times = self.size(self.read_by(name)), users[name]
            if name in needed or times * read > read + (1 + times) * value.bytes:
                self.written.add(name)

    def stored(self, name):
        """Itself, or what it is only a view of."""
        while self._values[name].kind in _ALIAS:
            name = self._values[name].operands[0]
        return name

    def read_by(self, name):
        """What is read to compute a value."""
        found, seen, left = set(), set(), list(self._values[name].operands)
        while left:
            operand = self.stored(left.pop())
            if operand in seen:
                continue
            seen.add(operand)
            if operand in self.written or self._values[operand].kind in _FREE + _OWN_PASS:
                found.add(operand)
            else:
                left.extend(self._values[operand].operands)
        return found

    def size(self, names):
        """Bytes of some values; constants are none."""
        named = [self._values[name] for name in names]
        return sum(value.bytes for value in named if value.kind not in ("constant", "iota"))


def _product(value, values, moved, card):
    left = values[value.operands[0]]
    contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", value.rest).group(1)
    depth = math.prod(left.shape[int(axis)] for axis in contracted.split(",") if axis)
    flops = 2.0 * math.prod(value.shape) * depth
    kind = "product bf16" if left.type in ("bf16", "f16") else "product f32"
    what = "{} {} over {}".format(kind, list(value.shape), depth)
    return _timed(what, flops, moved, card)


def _timed(what, flops, moved, card):
    peak = card.float32 if what.startswith("product f32") else card.bfloat16
    return Pass(what, flops, moved, max(flops / peak, moved / card.bandwidth))


def main():
    """Prints what takes how much of the time, and the bound."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="base")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--predictions", type=int, default=77)
    parser.add_argument("--precision", default="mixed_bfloat16")
    parser.add_argument("--card", choices=sorted(CARDS), default="H100")
    parser.add_argument("--top", type=int, default=12, help="kinds of passes to name")
    add_json_flag(parser)
    a = parser.parse_args()
    config, card = ModelConfig.from_json_file(a.model), CARDS[a.card]
    batch = random_batch(config, a.batch, a.length, a.predictions)
    found = list(passes(*parse(program(config, batch, a.precision)), card))
    total = sum(one.seconds for one in found)
    groups = collections.defaultdict(list)
    for one in found:
        groups[one.what].append(one)
    kinds = collections.defaultdict(list)
    for one in found:
        kinds[" ".join(one.what.split()[: 2 if one.what.startswith("product") else 1])].append(one)

    def row(name, some):
        seconds = sum(one.seconds for one in some)
        return [
            name,
            str(len(some)),
            "{:.2f}".format(sum(one.flops for one in some) / 1e12),
            "{:.2f}".format(sum(one.bytes for one in some) / 1e9),
            "{:.2f}".format(1e3 * seconds),
            "{:.1%}".format(seconds / total),
        ]

    def slowest(named):
        return sorted(named.items(), key=lambda item: -sum(one.seconds for one in item[1]))

    rows = [row(name, some) for name, some in slowest(kinds)]
    rows += [row("**all**", found)]
    rows += [row(name, some) for name, some in slowest(groups)[: a.top]]
    model = training_flops(config, a.batch, a.length, a.predictions)
    mfu = model / total / card.bfloat16
    raw = {"passes": [one._asdict() for one in found], "mfu": mfu}
    header = ["", "how many", "TFLOP", "GB", "ms", "of the time"]
    report(a.json, raw, header, rows)
    if not a.json:
        print()
        line = "{}, {} x {} on {}: at best {:.1f} ms a step, {:.0f} sequences/s, MFU {:.2f}"
        print(line.format(a.model, a.batch, a.length, a.card, 1e3 * total, a.batch / total, mfu))


if __name__ == "__main__":
    main()
