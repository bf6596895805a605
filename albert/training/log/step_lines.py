"""Files of JSON lines that each have a step: appended to, and cut when their run goes back."""

import json
import os
from typing import Mapping

from albert.system.files.atomic import atomic_write
from albert.system.files.side import kept_json_lines


def append_line(path: str, line: Mapping) -> None:
    """Adds a line."""
    with open(path, "a", encoding="utf-8") as handle:
        handle.write(json.dumps(line) + "\n")


def cut_lines(path: str, step: int) -> None:
    """Drops the lines beyond a step, which a run that stands there will do again.

    Lines that cannot be read stay; one that a crash has cut off goes.
    """
    if os.path.isfile(path):
        kept = kept_json_lines(path, {"step": int}, lambda line: line["step"] <= step)
        with atomic_write(path, "wb") as handle:
            handle.writelines(kept)
