"""What do several hosts cost?

  python benchmarks/hosts.py [--model=base --batch=8 --length=128] [--rounds=3] [--json]
  python benchmarks/hosts.py --plan

First 1, 2 and 4 processes of this machine share a batch, with a share of the cores each; then, as
root on Linux with `ip` and `tc`, two processes in network namespaces, with a link of 0.1, 1 and
10 Gbit/s between them. Beside the time to add up as many numbers as a gradient has stands what
bytes / bandwidth + latency predicts: a ring of n hosts sends 2 (n - 1) / n of the bytes from each.
Settings take turns, each time in new processes. --plan measures nothing: it prints by the same
rule how many examples an update must have for each GPU if the network is to cost less than a tenth
of it.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from albert.hosts.processes import free_ports  # noqa: E402
from benchmarks.contest import add_flags, report  # noqa: E402

UPDATES = 5
RATES = (0.1, 1.0, 10.0)  # Gbit/s
BERT_WEIGHTS = 110_000_000  # of BERT-base, Devlin et al. 2018
NAMESPACE, ADDRESS, PORT = "albert{}", "10.77.0.{}", 2222


def work(a):
    """Times one host's updates and sums, and prints them."""
    from albert.compat import compiled, tf
    from albert.hosts.cluster import HostOptions
    from albert.hosts.group import Hosts
    from albert.model.config import ModelConfig
    from benchmarks.works import ours

    hosts = Hosts(HostOptions().cluster())
    cores = sorted(os.sched_getaffinity(0))
    begin, end = [len(cores) * n // hosts.count for n in (hosts.index, hosts.index + 1)]
    os.sched_setaffinity(0, cores[begin : max(end, begin + 1)] or cores[:1])
    run = ours(a.model, a.batch // hosts.count, a.length, towers=1, hosts=hosts)
    size = weights(ModelConfig.from_json_file(a.model))

    def seconds(function):
        function()
        times = []
        for _ in range(UPDATES):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    def sum_of(count, name):
        numbers = tf.ones([count])
        add = compiled(lambda: hosts.sum([numbers], name).values[0])
        return seconds(lambda: add().numpy())

    networks = []
    found = {
        "step": seconds(lambda: networks.append(float(run().network))),
        "network": statistics.median(networks[1:]),
        "gradient": sum_of(size, "gradient"),
        "one": sum_of(1, "one"),
        "bytes": 4 * size,
    }
    print("# " + json.dumps(found), flush=True)


def weights(config):
    """How many numbers a gradient has."""
    from albert.model.parameters import parameter_specs

    return sum(int(np.prod(spec.shape)) for spec in parameter_specs(config).values())


def start(command, count, addresses, prefix):
    """Runs a group of hosts and returns what the first one found."""
    running = []
    for index in range(count):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = dict(os.environ, TF_CONFIG=json.dumps(task))
        words = prefix(index) + [sys.executable, os.path.abspath(__file__), "--worker", *command]
        running.append(
            subprocess.Popen(
                words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
    outputs = [process.communicate() for process in running]
    for process, (_, errors) in zip(running, outputs):
        if process.returncode:
            raise RuntimeError(errors)
    return json.loads([line for line in outputs[0][0].splitlines() if line[:2] == "# "][0][2:])


def here(command, count):
    """Processes of this machine."""
    addresses = ["127.0.0.1:{}".format(port) for port in free_ports(count)]
    return start(command, count, addresses, lambda index: [])


def apart(command, rate):
    """Two processes with a slow link between them."""
    with link(rate):
        addresses = ["{}:{}".format(ADDRESS.format(n), PORT) for n in (1, 2)]
        enter = ["ip", "netns", "exec"]
        return start(command, 2, addresses, lambda index: enter + [NAMESPACE.format(index + 1)])


@contextlib.contextmanager
def link(rate):
    """Two network namespaces that send each other at most `rate` Gbit/s."""

    def do(words):
        subprocess.run(words.split(), check=True)

    names = [NAMESPACE.format(n) for n in (1, 2)]
    try:
        for name in names:
            do("ip netns add " + name)
        do("ip link add eth0 netns {} type veth peer name eth0 netns {}".format(*names))
        burst = int(max(64e3, rate * 1e9 / 8 / 100))  # what a hundredth of a second sends
        for number, name in enumerate(names, 1):
            inside = "ip -n {} ".format(name)
            do(inside + "addr add {}/24 dev eth0".format(ADDRESS.format(number)))
            do(inside + "link set eth0 up")
            do(inside + "link set lo up")
            do(
                "ip netns exec {} tc qdisc add dev eth0 root tbf rate {}mbit burst {} "
                "latency 50ms".format(name, int(1000 * rate), burst)
            )
        yield
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)


def plan(share=0.1, gpu=4e14, latency=2e-5, length=512, predictions=77):
    """Prints a GPU's share of the smallest batch, by number of GPUs and rate of their network.

    Args:
      share: Of a step's arithmetic that the network may take.
      gpu: Operations a second of a GPU in a step: 40 % of an H100's peak in bfloat16.
      latency: Seconds from one host of the ring to the next.
      length: Of a sequence.
      predictions: Of a sequence.
    """
    from albert.model.config import ModelConfig
    from albert.model.flops import training_flops

    def sent_and_computed(name):
        config = ModelConfig.from_json_file(name)
        return 4 * weights(config), training_flops(config, 1, length, predictions)

    models = {name: sent_and_computed(name) for name in ("base", "large", "xlarge")}
    # The same layers, each with weights of its own.
    models["BERT-base"] = (4 * BERT_WEIGHTS, models["base"][1])
    rates = (10, 25, 100, 400)
    rows = []
    for name, (size, operations) in models.items():
        for gpus in (2, 8, 32, 256):
            cells = [name, "{:.0f}".format(size / 1e6), str(gpus)]
            for rate in rates:
                network = ring(gpus, size, rate) + 2 * (gpus - 1) * latency
                cells.append("{:,.0f}".format(max(1, network * gpu / (share * operations))))
            rows.append(cells)
    report(False, {}, ["model", "MB", "GPUs"] + ["{} Gbit/s".format(r) for r in rates], rows)


def ring(hosts, size, rate):
    """Seconds in which each host of a ring sends its parts of `size` bytes at `rate` Gbit/s."""
    return 2 * (hosts - 1) / hosts * size * 8 / (rate * 1e9)


def row(name, hosts, rate, found):
    """A line of the table: medians over rounds."""
    middle = {key: statistics.median(one[key] for one in found) for key in found[0]}
    beyond = middle["gradient"] - middle["one"]
    predicted = middle["one"] + ring(hosts, middle["bytes"], rate) if rate else None
    return [
        name,
        "{:.3g}".format(middle["step"]),
        "{:.3g}".format(middle["network"]),
        "{:.3g}".format(middle["gradient"]),
        "{:.2g}".format(1000 * middle["one"]),
        "{:.2f}".format(ring(hosts, middle["bytes"], 1.0) / beyond) if hosts > 1 else "",
        "{:.3g}".format(predicted) if predicted else "",
    ]


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="base")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--worker", action="store_true", help="of this benchmark itself")
    parser.add_argument("--plan", action="store_true", help="the table on paper alone")
    add_flags(parser, rounds=3)
    a = parser.parse_args()
    if a.plan:
        plan()
        return
    if a.worker:
        work(a)
        return
    command = ["--{}={}".format(name, getattr(a, name)) for name in ("model", "batch", "length")]
    settings = {
        "{} process{}".format(count, "es" if count > 1 else ""): (count, None)
        for count in (1, 2, 4)
    }
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        settings.update({"2, {:g} Gbit/s".format(rate): (2, rate) for rate in RATES})
    found = {name: [] for name in settings}
    for _ in range(a.rounds):
        for name, (count, rate) in settings.items():
            found[name].append(apart(command, rate) if rate else here(command, count))
    header = ["hosts", "seconds a step", "of it network", "sum of the gradient, s"]
    header += ["sum of one number, ms", "Gbit/s from each", "predicted sum, s"]
    rows = [row(name, *settings[name], found[name]) for name in settings]
    report(a.json, found, header, rows)


if __name__ == "__main__":
    main()
