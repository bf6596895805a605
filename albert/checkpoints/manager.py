"""Checkpoints of a run: written aside, made current when complete, the oldest removed."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import os
import re
import shutil
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Set

import numpy as np
from absl import logging

from albert.checkpoints.names import plain_names
from albert.checkpoints.sums import damage, write_sums
from albert.compat import tf
from albert.system.errors import UsageError, check_above_0, check_not_negative
from albert.system.files.atomic import atomic_write, make_directory, sync_directory
from albert.system.files.disk import os_errors

PREFIX = "model.ckpt-"
_STATE_FILE = "checkpoint"
_ASIDE = ".saving"


@dataclasses.dataclass(frozen=True)
class SavingOptions:
    """Where a run is kept, and how often it is saved.

    Attributes:
      output_dir: Its folder, or None to write nothing.
      save_checkpoints_steps: Updates between checkpoints.
      keep_checkpoint_max: Rolling checkpoints kept; 0 keeps all.
      tracker: What else gets the metrics, a comma list; see `training.log.trackers`.
      tensorboard_dir: Where TensorBoard's events go; None for a folder in `output_dir`.
    """

    output_dir: Optional[str] = None
    save_checkpoints_steps: int = 1000
    keep_checkpoint_max: int = 5
    tracker: str = "tensorboard"
    tensorboard_dir: Optional[str] = None

    def __post_init__(self) -> None:
        check_above_0("save_checkpoints_steps", self.save_checkpoints_steps)
        check_not_negative("keep_checkpoint_max", self.keep_checkpoint_max)


def write_tensors(prefix: str, tensors: Mapping[str, tf.Tensor], sums: bool = False) -> None:
    """Writes tensors as a name-based TensorFlow checkpoint `prefix.{index,data-*}`.

    The files appear under their names only when they are complete and on disk, the index last.

    Args:
      prefix: Where.
      tensors: By name.
      sums: Whether to write `prefix.sha256` with them.

    Raises:
      OSError: The disk is full, or may not be written; what was there before stays.
    """
    directory, name = os.path.split(prefix)
    aside = os.path.join(directory, _ASIDE)
    shutil.rmtree(aside, ignore_errors=True)
    make_directory(aside)
    names = sorted(tensors)
    try:
        with os_errors(prefix):
            tf.raw_ops.SaveV2(
                prefix=os.path.join(aside, name),
                tensor_names=names,
                shape_and_slices=[""] * len(names),
                tensors=[tf.convert_to_tensor(tensors[key]) for key in names],
            )
        if sums:
            write_sums(os.path.join(aside, name))
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    # A reader looks for the index first.
    written = glob.glob(os.path.join(glob.escape(aside), "*"))
    for path in sorted(written, key=lambda path: path.endswith(".index")):
        with open(path, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(path, os.path.join(directory, os.path.basename(path)))
    os.rmdir(aside)
    sync_directory(directory)


def read_tensors(prefix: str) -> Dict[str, np.ndarray]:
    """All tensors of a checkpoint by their plain names; see `plain_names`.

    Raises:
      UsageError: There is no complete checkpoint at `prefix`, or it is not what was written.
    """
    wrong = damage(prefix)
    if wrong:
        raise UsageError(
            "Checkpoint {} is damaged: {}. Copy it again, or name another one.".format(
                prefix, wrong
            )
        )
    with _explained(prefix):
        reader = tf.train.load_checkpoint(prefix)
        plain = plain_names(reader.get_variable_to_shape_map())
        for note in plain.notes:
            logging.info("%s: %s", prefix, note)
        return {name: reader.get_tensor(own) for name, own in plain.found.items()}


def tensor_names(prefix: str) -> Set[str]:
    """The plain names in a checkpoint, without reading what they name.

    Raises:
      UsageError: As `read_tensors`.
    """
    with _explained(prefix):
        return set(plain_names(tf.train.load_checkpoint(prefix).get_variable_to_shape_map()).found)


@contextlib.contextmanager
def _explained(prefix: str) -> Iterator[None]:
    try:
        yield
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:
        raise UsageError(
            "Cannot read checkpoint {}: {}. Name it without its ending, for example "
            "pretraining_output/model.ckpt-1000.".format(prefix, str(error).split("\n")[0])
        ) from error


def saved_steps(directory: str) -> List[int]:
    """Steps of the rolling checkpoints in a directory, ascending."""
    steps = []
    for path in glob.glob(os.path.join(glob.escape(directory), PREFIX + "*.index")):
        match = re.match(re.escape(PREFIX) + r"(\d+)\.index$", os.path.basename(path))
        if match:
            steps.append(int(match.group(1)))
    return sorted(steps)


def latest_checkpoint(directory: str) -> Optional[str]:
    """The current checkpoint of a directory: what `checkpoint` names, else the newest there.

    A damaged one is told, and the one before it taken.

    Raises:
      UsageError: There is none that is whole.
    """
    found = [PREFIX + str(step) for step in reversed(saved_steps(directory))]
    current = _named_current(directory)
    if current:
        found = [current] + [name for name in found if name != current]
    told: List[str] = []
    for prefix in (os.path.join(directory, name) for name in found):
        wrong = damage(prefix)
        if wrong is None and os.path.isfile(prefix + ".index"):
            if told:
                logging.log_first_n(logging.WARNING, "%s; %s is used instead", 1, told[0], prefix)
            return prefix
        told += [wrong] if wrong else []
    if told:
        raise UsageError(
            "{}. There is no other checkpoint in {} that is whole.".format(told[0], directory)
        )
    return None


def _named_current(directory: str) -> Optional[str]:
    """The checkpoint that `checkpoint` names, by its name alone: it lies in this folder."""
    path = os.path.join(directory, _STATE_FILE)
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8", errors="replace") as handle:
        match = re.search(r'^model_checkpoint_path: "(.*)"', handle.read(), re.MULTILINE)
    return os.path.basename(match.group(1)) if match else None


def make_current(directory: str, name: str, kept: Sequence[str]) -> None:
    """Writes the file `checkpoint`: which one is meant, and which there are, the newest last."""
    lines = ['model_checkpoint_path: "{}"'.format(name)]
    lines += ['all_model_checkpoint_paths: "{}"'.format(other) for other in kept]
    with atomic_write(os.path.join(directory, _STATE_FILE)) as handle:
        handle.write("\n".join(lines) + "\n")


class CheckpointManager:
    """Saves the state of a run in `model.ckpt-N` files and keeps the newest few."""

    def __init__(self, directory: str, keep: int) -> None:
        """Writes into `directory`, keeping `keep` rolling checkpoints (0 keeps all)."""
        self._directory = directory
        self._keep = keep

    def latest(self) -> Optional[str]:
        """The prefix of the current checkpoint; None if there is none."""
        return latest_checkpoint(self._directory)

    def save(self, variables: Mapping[str, tf.Variable], step: int) -> str:
        """Saves all variables as the current checkpoint and returns its prefix."""
        prefix = os.path.join(self._directory, PREFIX + str(step))
        write_tensors(prefix, variables, sums=True)
        self._keep_newest(step)
        return prefix

    def _keep_newest(self, step: int) -> None:
        # Checkpoints beyond the current step are of an abandoned continuation; they are kept.
        steps = [other for other in saved_steps(self._directory) if other <= step]
        kept = steps[-self._keep :] if self._keep > 0 else steps
        names = [PREFIX + str(other) for other in kept]
        make_current(self._directory, PREFIX + str(step), names)
        # By all their files: of one whose removal was broken off, not every one is there.
        for path in glob.glob(os.path.join(glob.escape(self._directory), PREFIX + "*")):
            match = re.match(re.escape(PREFIX) + r"(\d+)\.", os.path.basename(path))
            if match and int(match.group(1)) <= step and int(match.group(1)) not in kept:
                os.remove(path)
