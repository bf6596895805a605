"""The quickstart prints what the README shows."""

import os
import random
import re
import subprocess
import sys

import pytest
from conftest import ROOT

if sys.version_info < (3, 10):
    pytest.skip(
        "Python 3.7 has no ftfy, which `clean` repairs mojibake with", allow_module_level=True
    )


def shape(line):
    """A line without its numbers, times, paths and words of the text."""
    line = re.sub(r"runs/quickstart\S*|/\S+", "PATH", line)
    line = re.sub(r"piece \S+", "piece P", line)
    line = re.sub(r"\d[\d.,:e+-]*", "N", line)
    return re.sub(r"\s+|-{3,}", " ", line).strip()


def shown():
    """The lines of the README's block."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as handle:
        section = handle.read().split("### What you will see")[1]
    return [line for line in section.split("```")[1].splitlines() if line.strip()]


def test_the_readme_shows_what_is_printed(tmp_path):
    generator = random.Random(0)
    syllables = [consonant + vowel for consonant in "bdgjklmnprst" for vowel in "aeiou"]
    words = ["".join(generator.choices(syllables, k=3)) for _ in range(600)]
    documents = [
        "\n".join(" ".join(generator.choices(words, k=9)) + "." for _ in range(10))
        for _ in range(300)
    ]
    (tmp_path / "text.txt").write_text("\n\n".join(documents), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "quickstart", "--text=" + str(tmp_path / "text.txt")]
        + ["--output_dir=" + str(tmp_path / "out"), "--steps=100"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert len(lines) < 100, "two screens hold it"
    printed = {shape(line) for line in lines}
    for line in shown():
        of_its_text = ("No TEXT given", "Knowing only", "the text has", "[MASK]")
        if any(words in line for words in of_its_text):
            continue  # the words of this test have nothing to learn
        assert shape(line) in printed, "{}\nis none of\n{}".format(shape(line), sorted(printed))
