"""Disks that fail and power that goes, at every change that a command makes to its folder.

What is seen afterwards is exactly what was before, or exactly what is made; and the same command
makes it. ALBERT_FAULTS asks for every change, else for some.
"""

import errno
import hashlib
import os
import shutil

import numpy as np
import pytest
from malay import model as spm_model
from malay import sentences
from preprocess_corpus import write_text
from test_import_export import albert, small_run

from albert.checkpoints.manager import CheckpointManager, latest_checkpoint, read_tensors
from albert.compat import tf
from albert.system.errors import UsageError
from albert.tasks.export import export
from faults.disk import Failing, PowerCuts, contents, restore, watched
from preprocess import build_records
from preprocess.engines import Execution

EVERY = "ALBERT_FAULTS" in os.environ
FEW = 31  # that are all tried, always
SAMPLE = 8  # of more, failures and power cuts each


def digest(found):
    """Of a folder's contents by path."""
    whole = hashlib.sha256()
    for path in sorted(found):
        whole.update(repr((path, found[path])).encode())
    return whole.hexdigest()


class Save:
    """The second checkpoint of a run that keeps one."""

    def __init__(self, elsewhere):
        random = np.random.RandomState(1)
        self._values = [{"a": random.rand(99), "b": random.rand(3, 5)} for _ in range(2)]

    def _save(self, folder, step):
        named = {name: tf.constant(value) for name, value in self._values[step - 1].items()}
        CheckpointManager(str(folder), keep=1).save(named, step)

    def prepare(self, folder):
        self._save(folder, 1)

    def act(self, folder):
        self._save(folder, 2)

    def seen(self, folder):
        prefix = latest_checkpoint(str(folder))
        tensors = {name: value.tolist() for name, value in read_tensors(prefix).items()}
        return digest(dict(tensors, name=os.path.basename(prefix)))


NEW = os.path.join("some", "where", "made")  # no part of it is there before


def made(folder):
    """What a command made, without what it put aside."""
    return {p: c for p, c in contents(folder).items() if (p + os.sep).startswith(NEW + os.sep)}


class _NewFolder:
    """A command that makes a folder."""

    def __init__(self, elsewhere):
        self._run = elsewhere
        small_run(elsewhere, "google")

    def prepare(self, folder):
        pass

    def seen(self, folder):
        return digest(made(folder))


class Export(_NewFolder):
    """Weights and config for the original system."""

    def act(self, folder):
        export(str(self._run), export_dir=str(folder / NEW), format="tf1")


class Import(_NewFolder):
    """The same run as a checkpoint to go on from."""

    def act(self, folder):
        code = albert("import", self._run, "--output_dir={}".format(folder / NEW))
        if code:
            raise OSError(code, "the command ended with {}".format(code))


class Records:
    """Records in two files, masked in several parts."""

    def __init__(self, elsewhere):
        elsewhere.mkdir()
        self._text = write_text(str(elsewhere / "text.txt"), [sentences(40, 7)] * 6)

    def prepare(self, folder):
        pass

    def act(self, folder):
        files = [str(folder / name) for name in ("a.tfrecord", "b.tfrecord")]
        local = Execution(num_workers=1, tqdm_off=True)
        more = {"max_seq_length": 32, "max_predictions_per_seq": 5}
        build_records(self._text, files, spm_model(), execution=local, **more)

    def seen(self, folder):
        found = {p: c for p, c in contents(folder).items() if ".work" not in p}
        return digest(found if any(p.endswith(".manifest.json") for p in found) else {})


@pytest.fixture(params=[Save, Export, Import, Records], ids=lambda kind: kind.__name__)
def job(request, tmp_path):
    return request.param(tmp_path / "elsewhere")


def chosen(numbers):
    """All of them, or a few that are spread over all."""
    numbers = list(numbers)
    if EVERY or len(numbers) <= FEW:
        return numbers
    return [numbers[i * (len(numbers) - 1) // (SAMPLE - 1)] for i in range(SAMPLE)]


@pytest.fixture
def unbroken(job, tmp_path):
    """The folder before and after, what is seen of each, and how many changes there are."""
    folder = tmp_path / "unbroken"
    folder.mkdir()
    job.prepare(folder)
    before, seen = contents(folder), [job.seen(folder)]
    count = Failing(0, errno.EIO)
    with watched(folder, count.before):
        job.act(folder)
    seen.append(job.seen(folder))
    assert seen[0] != seen[1]
    after = contents(folder)
    shutil.rmtree(str(folder))
    return before, after, seen, count.count


def check_repeated(job, folder, after, seen, what):
    """What is seen is one of the two, and the same command makes the rest, with no leftovers."""
    assert job.seen(folder) in seen, what
    if job.seen(folder) == seen[1] and isinstance(job, _NewFolder):
        return  # it is made, and the command refuses to make it again
    job.act(folder)
    found = contents(folder)
    assert sorted(found) == sorted(after), what
    assert digest(found) == digest(after), what


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_change_that_fails_loses_nothing(job, unbroken, error, tmp_path):
    before, after, seen, count = unbroken
    folder = tmp_path / "unbroken"  # of the same name: what is written may tell it
    for number in chosen(range(1, count + 1)):
        restore(before, folder)
        with watched(folder, Failing(number, error).before):
            try:
                job.act(folder)
            except (OSError, UsageError):
                pass
        check_repeated(job, folder, after, seen, "change {} of {}".format(number, count))
        shutil.rmtree(str(folder))
    print("{}: {} changes fail".format(type(job).__name__, len(chosen(range(1, count + 1)))))


def test_a_power_cut_loses_nothing(job, unbroken, tmp_path):
    before, after, seen, _ = unbroken
    folder = tmp_path / "unbroken"
    restore(before, folder)
    power = PowerCuts(folder)
    with watched(folder, power.before, power.after):
        job.act(folder)
    last = power.note()
    power.close()
    states = [*power.states, *last]
    shutil.rmtree(str(folder))
    for number in sorted({*chosen(range(len(states))), *range(len(power.states), len(states))}):
        restore(states[number], folder)
        assert number < len(power.states) or job.seen(folder) == seen[1], "it had ended"
        check_repeated(job, folder, after, seen, "state {} of {}".format(number, len(states)))
        shutil.rmtree(str(folder))
    print("{}: {} states of the disk".format(type(job).__name__, len(chosen(range(len(states))))))


def test_a_build_killed_while_its_folder_goes_is_repeated(tmp_path, monkeypatch):
    """Which files of a folder go first is the file system's choice."""
    job, folder, remove = Records(tmp_path / "elsewhere"), tmp_path / "made", shutil.rmtree

    def killed(path, *rest, **named):
        if not str(path).endswith(".work"):
            return remove(path, *rest, **named)
        for name in os.listdir(path):
            if name.startswith("spill"):
                os.remove(os.path.join(path, name))
        raise KeyboardInterrupt

    folder.mkdir()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", killed)
        job.act(folder)
    seen = job.seen(folder)
    job.act(folder)
    assert job.seen(folder) == seen
    assert not [path for path in contents(folder) if ".work" in path]
