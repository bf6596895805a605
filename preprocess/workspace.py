"""The folder of an unfinished job, from which a killed one continues."""

import contextlib
import dataclasses
import json
import os
import shutil
from typing import Any, Dict, Iterator, NamedTuple, Tuple

from absl import logging

from albert.records.manifest import RecordFile
from albert.system.errors import UsageError
from albert.system.files.atomic import atomic_write, ensure_writable_directory, held
from albert.system.files.side import parse_json, read_as

_STATE = "state.json"


class State(NamedTuple):
    """How far a build has come.

    Attributes:
      identity: Everything that determines its bytes.
      blocks: Of the text, once all are encoded; 0 before.
      segmented: Whether the examples of all are cut.
      parts: Of the records, once all are written; 0 before.
      files: The entries of the manifest then.
    """

    identity: dict = {}
    blocks: int = 0
    segmented: bool = False
    parts: int = 0
    files: Tuple[RecordFile, ...] = ()


class Workspace:
    """Names inside the work folder of one build. A file in it is complete or absent."""

    def __init__(self, path: str) -> None:
        """Names files in the existing folder `path`."""
        self.path = path

    def cleaned(self, unit: int) -> str:
        """Clean documents of one unit of the input of `clean`."""
        return self._name("unit", unit)

    def encoded(self, block: int) -> str:
        """Tokenised documents of one block."""
        return self._name("encoded", block)

    def spill(self, block: int) -> str:
        """Unmasked examples of one block."""
        return self._name("spill", block)

    def part(self, number: int) -> str:
        """Records of one range of keys, shard after shard."""
        return self._name("part", number)

    def part_summary(self, number: int) -> str:
        """Sizes and counts of one part; written after the part."""
        return self._name("summary", number)

    def shard(self, number: int) -> str:
        """An output file that is still growing."""
        return self._name("shard", number)

    def shard_index(self, number: int) -> str:
        """Where the records of that file end, as far as it has grown."""
        return self._name("index", number)

    def _name(self, kind: str, number: int) -> str:
        return os.path.join(self.path, "{}-{:06d}".format(kind, number))

    def state(self) -> State:
        """What was noted so far.

        Raises:
          UsageError: It cannot be read.
        """
        path = os.path.join(self.path, _STATE)
        return read_as(State, path, "the state of a build") if os.path.isfile(path) else State()

    def note(self, **facts: Any) -> None:
        """Adds facts to the state, durably."""
        merged = self.state()._replace(**facts)
        with atomic_write(os.path.join(self.path, _STATE)) as handle:
            facts = merged._asdict()
            handle.write(json.dumps(facts, indent=1, sort_keys=True, default=dataclasses.asdict))


@contextlib.contextmanager
def opened(path: str, identity: Dict[str, Any]) -> Iterator[Workspace]:
    """Opens the work folder for a build; removes it when the block succeeds, or refuses a new one.

    Args:
      path: The folder, on the disk of the output.
      identity: Everything that determines the bytes of the output. A folder left by a build
        with another identity is emptied; one with the same identity is continued.

    Raises:
      UsageError: The folder cannot be written, or another build is using it.
    """
    ensure_writable_directory(path, "--output_file")
    with held(path, "--output_file"):
        workspace = Workspace(path)
        identity = parse_json(json.dumps(identity))
        left = _left(workspace)
        if left == identity:
            logging.info("Continuing the unfinished build in %s", path)
        else:
            if left:
                logging.info("Discarding an unfinished build with other options in %s", path)
            _empty(path)  # also what is left of one whose folder was not quite removed
        workspace.note(identity=identity)
        try:
            yield workspace
        except BaseException as error:
            if isinstance(error, UsageError) and left != identity:
                _remove(path)  # the same would be refused again
                raise
            logging.info("The unfinished build stays in %s; the same command continues it", path)
            raise
        _remove(path)


def _left(workspace: Workspace) -> Dict[str, Any]:
    """What the build in a folder is of; nothing where that cannot be read."""
    try:
        return workspace.state().identity
    except UsageError as error:
        logging.warning("%s The build begins again.", error)
        return {}


def _remove(path: str) -> None:
    os.remove(os.path.join(path, _STATE))  # first: nobody goes on from the rest
    shutil.rmtree(path)


def _empty(path: str) -> None:
    for name in os.listdir(path):
        if name != ".lock":
            os.remove(os.path.join(path, name))
