"""A training on the user's records that is killed half-way, goes on, and is judged."""

import os
import signal
import subprocess
import sys
import time
from typing import List, NamedTuple, Optional, Sequence

from absl import logging

from albert.checkpoints.manager import saved_steps
from albert.system.errors import UsageError
from albert.training.diagnosis.facts import judged_line, state_of
from albert.training.diagnosis.folder import read_facts

_LOOK = 0.2  # seconds between two looks at the folder
_PATIENCE = 600.0  # seconds for the first checkpoint


class Learning(NamedTuple):
    """What a training came to.

    Attributes:
      killed_after: Update of the last checkpoint when it was killed.
      went_on_to: Update at the end, after the same command had gone on.
      loss: Masked-LM loss in nats of the last line, held out where there are such records.
      accuracy: Of masked words.
      floor: What word frequencies alone give, nats.
      state: "learning", "plateau", "young" or "diverged"; see `diagnosis.facts.state_of`.
      updates_per_second: Over the second half.
    """

    killed_after: int
    went_on_to: int
    loss: float
    accuracy: float
    floor: float
    state: str
    updates_per_second: float


def check_learning(flags: Sequence[str], output_dir: str, minutes: float) -> Learning:
    """Trains for some minutes: half of them, a kill, and the same command for the other half.

    Args:
      flags: Of `pretrain`, without the folder.
      output_dir: Of the run; what it holds is gone on from.
      minutes: In all.

    Raises:
      UsageError: The training ended by itself; its last line says why.
    """
    command = [sys.executable, "-m", "albert", "pretrain", *flags, "--output_dir=" + output_dir]
    half = 30.0 * minutes
    _run_for(command, output_dir, half, signal.SIGKILL, None)
    killed_after = max(saved_steps(output_dir))
    logging.info("Killed; the same command goes on from update %d", killed_after)
    seconds = _run_for(command, output_dir, half, signal.SIGTERM, killed_after)
    steps = saved_steps(output_dir)
    facts = read_facts(output_dir)
    last = judged_line(facts.lines) or {}
    return Learning(
        killed_after,
        max(steps),
        float(last.get("masked_lm_loss", float("nan"))),
        float(last.get("masked_lm_accuracy", float("nan"))),
        facts.data.unigram_entropy,
        state_of(facts),
        (max(steps) - killed_after) / seconds,
    )


def _run_for(
    command: List[str], folder: str, seconds: float, end: int, beyond: Optional[int]
) -> float:
    """Runs a training until it has saved and its time is over, and ends it; returns seconds."""
    with open(os.path.join(folder, "screen.txt"), "ab") as screen:
        training = subprocess.Popen(command, stdout=screen, stderr=subprocess.STDOUT)
    start = time.monotonic()
    try:
        while training.poll() is None:
            passed = time.monotonic() - start
            saved = [step for step in saved_steps(folder) if step > (beyond or 0)]
            if passed > seconds and saved:
                training.send_signal(end)
                break
            if passed > seconds + _PATIENCE:
                break
            time.sleep(_LOOK)
        else:
            with open(os.path.join(folder, "screen.txt"), encoding="utf-8") as handle:
                told = handle.read().splitlines()
            raise UsageError(
                "The training on your records ended by itself: {}".format((told or [""])[-1])
            )
        training.wait(_PATIENCE)
    finally:
        training.kill()
        training.wait()
    return time.monotonic() - start
