"""Files of JSON lines that each have a step: appended to, and cut when their run goes back."""

import json
import os
from typing import Dict, List, Mapping

from albert.system.files.atomic import atomic_write


def read_lines(path: str) -> List[Dict]:
    """The lines of a file, none where there is no file; one cut off by a crash ends the list."""
    lines: List[Dict] = []
    if not os.path.isfile(path):
        return lines
    with open(path, encoding="utf-8") as handle:
        for text in handle:
            try:
                lines.append(json.loads(text))
            except ValueError:
                break
    return lines


def append_line(path: str, line: Mapping) -> None:
    """Adds a line."""
    with open(path, "a", encoding="utf-8") as handle:
        handle.write(json.dumps(line) + "\n")


def cut_lines(path: str, step: int) -> None:
    """Drops the lines beyond a step, which a run that stands there will do again."""
    if os.path.isfile(path):
        kept = [line for line in read_lines(path) if line["step"] <= step]
        with atomic_write(path) as handle:
            handle.writelines(json.dumps(line) + "\n" for line in kept)
