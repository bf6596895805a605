"""Engines give the same bytes; what is missing is said."""

import hashlib
import os

import preprocess_corpus as corpus
import pytest

from albert.records.options import RecordOptions
from albert.system.errors import TryAgain, UsageError
from preprocess import engines
from preprocess.clean import clean
from preprocess.clean.clean import CleanOptions
from preprocess.clean.text import CleaningRules
from preprocess.engines import Execution
from preprocess.records import steps
from preprocess.records.build import write_records
from preprocess.sources import cutting


def double(job):
    """Twice a number; a worker that gets 13 dies, and -1 is the user's mistake."""
    if job == 13:
        os._exit(9)
    if job == -1:
        raise UsageError("minus one")
    return 2 * job


def test_all_jobs_are_done_once_and_iterators_are_not_exhausted_early():
    taken = []

    def jobs():
        for number in range(40):
            taken.append(number)
            yield number + 100

    with engines.start(Execution(2)) as run:
        results = run(double, jobs())
        first = next(results)
        assert len(taken) <= 8
        assert sorted([first] + list(results)) == [2 * (n + 100) for n in range(40)]


def test_errors_of_workers_arrive():
    with pytest.raises(UsageError, match="minus one"):
        with engines.start(Execution(2)) as run:
            list(run(double, [1, -1, 2]))
    with pytest.raises(TryAgain, match="ended unexpectedly"):
        with engines.start(Execution(2)) as run:
            list(run(double, [1, 13, 2]))


def test_missing_ray_is_explained(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UsageError, match="Ray, which is an extra"):
        with engines.start(Execution(engine="ray")):
            pass


def test_ray_gives_the_same_bytes(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed; it is an extra")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    text = corpus.write_text(tmp_path / "t.txt", corpus.documents(300))
    monkeypatch.setattr(steps, "PART_PIECES", 4000)
    monkeypatch.setattr(cutting, "BLOCK_BYTES", 20000)
    hashes = []
    for engine in ("local", "ray"):
        execution = Execution(2, engine, tqdm_off=True)
        path = str(tmp_path / engine)
        options = RecordOptions(text, path, corpus.model(), max_seq_length=64)
        write_records(options, execution)
        cleaned = CleanOptions(text, path + ".txt", cleaning=CleaningRules(fix_mojibake=False))
        clean.clean(cleaned, execution)
        hashes.append(
            [hashlib.sha256(open(p, "rb").read()).hexdigest() for p in (path, path + ".txt")]
        )
    assert hashes[0] == hashes[1]
