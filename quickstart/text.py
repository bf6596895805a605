"""English text that every Python brings along: its manual topics and docstrings."""

import ast
import os
import re
import sysconfig
from typing import Iterator, List

_NOT_PROSE = {"test", "tests", "site-packages", "dist-packages", "__pycache__"}
_MIN_WORDS = 5  # a shorter paragraph is a heading or code


def documents() -> Iterator[List[str]]:
    """Documents as lists of paragraphs: manual topics, then modules with all their docstrings."""
    from pydoc_data import topics

    for name in sorted(topics.topics):
        yield prose(topics.topics[name])
    for path in _library_sources():
        yield [paragraph for text in _docstrings(path) for paragraph in prose(text)]


def prose(text: str) -> List[str]:
    """Paragraphs of running text, each on one line; code, tables and headings are left out."""
    paragraphs = []
    for block in re.split(r"\n\s*\n", text):
        line = " ".join(block.split())
        letters = sum(c.isalpha() or c == " " for c in line)
        if len(line.split()) >= _MIN_WORDS and ">>>" not in line and letters > 0.8 * len(line):
            paragraphs.append(line)
    return paragraphs


def write_documents(path: str) -> int:
    """Writes all documents, a paragraph a line and a blank line between; returns their number."""
    count = 0
    with open(path, "w", encoding="utf-8") as handle:
        for paragraphs in documents():
            if paragraphs:
                handle.write("\n".join(paragraphs) + "\n\n")
                count += 1
    return count


def _library_sources() -> Iterator[str]:
    for folder, folders, files in os.walk(sysconfig.get_paths()["stdlib"]):
        folders[:] = sorted(set(folders) - _NOT_PROSE)
        for name in sorted(files):
            if name.endswith(".py"):
                yield os.path.join(folder, name)


def _docstrings(path: str) -> Iterator[str]:
    try:
        with open(path, encoding="utf-8") as handle:
            tree = ast.parse(handle.read())
    except (SyntaxError, UnicodeDecodeError):
        return  # the library keeps a few broken files for its own tests
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented):
            yield ast.get_docstring(node) or ""
