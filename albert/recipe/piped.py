"""Text that is piped into a recipe."""

import os
from typing import Dict

from albert.recipe.reading import Recipe, text_of
from albert.system.files.atomic import ensure_writable_directory
from albert.system.files.piped import is_pipe, kept


def with_pipes_kept(recipe: Recipe, folder: str, read: bool = True) -> Recipe:
    """The recipe with files for what is piped in, which lie in `folder`: the job may be cut off.

    Args:
      recipe: With names of files.
      folder: Of the job.
      read: Whether to read what is piped in now; else what was piped in before is meant.

    Raises:
      UsageError: Nothing is piped in, now or before.
    """
    files: Dict[str, str] = {}

    def file_of(name: str) -> str:
        if is_pipe(name) and name not in files:
            path = os.path.join(folder, "piped-{}".format(len(files)))
            if read:
                ensure_writable_directory(folder, "the recipe's output_dir")
                kept(name, "input_file", path)
            files[name] = path if os.path.exists(path) else name
        return files.get(name, name)

    found = dict(recipe)
    for section in ("text", "tokenizer", "records"):
        given = recipe.get(section, {}).get("input_file")
        if given:
            names = [file_of(name.strip()) for name in text_of(given).split(",")]
            found[section] = dict(recipe[section], input_file=",".join(names))
    return found
