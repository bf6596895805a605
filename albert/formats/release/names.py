"""Which names a file in an archive may have: those that stay in the folder on every system."""

from typing import List

from albert.system.errors import UsageError, quoted

_LONGEST_PART = 200  # bytes; file systems take 255, and temporary names add an ending
_LONGEST = 1000


def safe_parts(name: str) -> List[str]:
    """The folders of a member's path and the name of the file.

    >>> safe_parts("./albert/model.ckpt.index")
    ['albert', 'model.ckpt.index']

    Raises:
      UsageError: The path is absolute, climbs, or means something else on another system.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    longest = max((len(part.encode("utf-8", "replace")) for part in parts), default=0)
    wrong = None
    if name.startswith("/"):
        wrong = "is an absolute path"
    elif ".." in parts:
        wrong = "leads out of the folder"
    elif "\\" in name or ":" in name:
        wrong = "has a backslash or a colon, which Windows reads as folders and drives"
    elif not name.isprintable():
        wrong = "has control characters or is no UTF-8"
    elif longest > _LONGEST_PART or len(name) > _LONGEST:
        wrong = "is too long"
    if wrong:
        raise UsageError("{} {}.".format(quoted(name), wrong))
    return parts
