"""What a check of a machine found: for people in Markdown, for programs in JSON."""

import json
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from albert.compat import gpu_details, runtime_name
from albert.system.files.atomic import atomic_write
from albert.system.machine import cpu_name, usable_cores
from albert.training.gpu_check.equality import Equality
from albert.training.gpu_check.learning import Learning
from albert.training.gpu_check.peer import Peer
from albert.training.gpu_check.speed import Speed

NAME = "gpu_check"  # of both files


class Report(NamedTuple):
    """All that was found.

    Attributes:
      rehearsal: Whether it was on a CPU, to see that every part runs.
      towers: Devices that trained.
      equalities: How steps compare.
      speeds: How fast they are.
      peers: How fast transformers is on one device.
      tokens: Million real tokens a second that the input gives, by number of workers.
      learning: What became of a training on the user's records.
    """

    rehearsal: bool
    towers: Sequence[str]
    equalities: List[Equality]
    speeds: List[Speed]
    peers: List[Peer]
    tokens: Dict[int, float]
    learning: Optional[Learning]

    @property
    def passed(self) -> bool:
        """Whether everything that can be right or wrong is right."""
        learned = self.learning is None or (
            self.learning.went_on_to > self.learning.killed_after
            and (self.rehearsal or self.learning.state == "learning")
        )
        return all(one.passed for one in self.equalities) and learned


def machine() -> Dict[str, Any]:
    """What the numbers of a report are of."""
    return {
        "runtime": runtime_name(),
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "gpus": gpu_details(),
    }


def write_report(folder: str, report: Report) -> str:
    """Writes both files; returns the Markdown."""
    found = machine()
    values = dict(
        report._asdict(),
        machine=found,
        passed=report.passed,
        equalities=[dict(one._asdict(), passed=one.passed) for one in report.equalities],
        speeds=[one._asdict() for one in report.speeds],
        peers=[one._asdict() for one in report.peers],
        learning=report.learning._asdict() if report.learning else None,
    )
    text = "\n".join(_lines(found, report)) + "\n"
    for ending, content in ((".json", json.dumps(values, indent=2) + "\n"), (".md", text)):
        with atomic_write(os.path.join(folder, NAME + ending)) as handle:
            handle.write(content)
    return text


def _lines(found: Dict[str, Any], report: Report) -> List[str]:
    cards = ", ".join(" ".join(map(str, card.values())) for card in found["gpus"]) or "no GPU"
    lines = ["# Check of a machine" + (" (a rehearsal)" if report.rehearsal else ""), ""]
    lines.append("{runtime}; {cpu}, {cores} cores; {0}.".format(cards, **found))
    lines += ["", "## The same model comes out", ""]
    lines += _table(
        ["layout", "beside one tower in float32", "difference of losses, nats", "allowed", ""],
        [
            [
                one.layout,
                one.variant,
                "{:.1e}".format(one.difference),
                "{:.0e}".format(one.allowed),
                "" if one.passed else "**too much**",
            ]
            for one in report.equalities
        ],
    )
    lines += ["", "## Speed of a step", ""]
    lines += _table(
        [
            "model",
            "length",
            "precision",
            "batch",
            "sequences/s",
            "MFU",
            "memory, GB (estimate)",
            "first step, s",
        ],
        [
            [
                one.model,
                str(one.length),
                one.precision,
                str(one.batch),
                "{:.1f}".format(one.sequences),
                "{:.2f}".format(one.mfu),
                "{} ({:.2f})".format(
                    "{:.2f}".format(one.peak / 1e9) if one.peak else "-", one.estimate / 1e9
                ),
                "{:.1f}".format(one.building),
            ]
            for one in report.speeds
        ],
    )
    lines += ["", "MFU is beside this machine's own matrix products in the same precision."]
    lines += _peer_lines(report) + _input_lines(report) + _learning_lines(report.learning)
    lines += ["", "Everything is as it should be." if report.passed else "**Something is wrong.**"]
    return lines


def _peer_lines(report: Report) -> List[str]:
    if not report.peers:
        return ["", "torch and transformers are not both here, so nothing stands beside it."]
    ours = {one[:3]: one.sequences / len(report.towers) for one in report.speeds}
    rows = [
        [
            peer.model,
            str(peer.length),
            peer.precision,
            str(peer.batch),
            "{:.1f}".format(peer.sequences),
            "{:.2f}".format(ours[peer[:3]] / peer.sequences) if peer[:3] in ours else "-",
        ]
        for peer in report.peers
    ]
    header = ["model", "length", "precision", "batch", "sequences/s", "ours for each device"]
    title = "## transformers on one of these devices (AdamW, SDPA, compiled on a GPU)"
    return ["", title, "", *_table(header, rows)]


def _input_lines(report: Report) -> List[str]:
    if not report.tokens:
        return ["", "No records were given (--input_file): input and learning were not looked at."]
    given = ", ".join(
        "{:.2f} with {} workers".format(rate, count) for count, rate in report.tokens.items()
    )
    needed = max([one.sequences * one.length for one in report.speeds] or [np.nan]) / 1e6
    return [
        "",
        "## Input",
        "",
        "Million tokens a second: {}; the fastest step above takes {:.2f}.".format(given, needed),
    ]


def _learning_lines(learning: Optional[Learning]) -> List[str]:
    if learning is None:
        return []
    return [
        "",
        "## Learning",
        "",
        "Killed after update {}, gone on to {}, {:.2f} updates a second. Masked words: {:.3f} "
        "nats, {:.1%} right; word frequencies alone give {:.3f} nats. State: {}.".format(
            learning.killed_after,
            learning.went_on_to,
            learning.updates_per_second,
            learning.loss,
            learning.accuracy,
            learning.floor,
            learning.state,
        ),
    ]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> List[str]:
    return ["| {} |".format(" | ".join(row)) for row in [header, ["---"] * len(header), *rows]]
