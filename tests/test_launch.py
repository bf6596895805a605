"""The command that starts hosts: shares of a machine, signals, restarts, what is said."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT
from test_import_export import albert

from albert.hosts import processes
from albert.hosts.processes import run_here
from albert.system.errors import UsageError

# Writes who it is and what it may use into a folder; then does what a file there tells it.
PROGRAM = """
import json, os, signal, sys, time
folder = sys.argv[1]
task = json.loads(os.environ["TF_CONFIG"])
place, names = task["task"]["index"], task["cluster"]["worker"]
gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
facts = [names, sorted(os.sched_getaffinity(0)), gpus, os.getpid()]
starts = len([n for n in os.listdir(folder) if n.startswith("host-%d-" % place)])
path = os.path.join(folder, "host-%d-%d" % (place, starts))
with open(path + "~", "w") as handle:
    json.dump(facts, handle)
os.rename(path + "~", path)
print("told by", place)
exec(open(os.path.join(folder, "then.py")).read())
"""


@pytest.fixture
def program(tmp_path):
    """A program for `launch`, whose hosts do what they are told in Python."""
    (tmp_path / "program.py").write_text(PROGRAM)
    folder = tmp_path / "hosts"
    folder.mkdir()

    def make(then):
        (folder / "then.py").write_text(then)
        return [sys.executable, str(tmp_path / "program.py"), str(folder)]

    make.folder = folder
    return make


def facts(folder):
    return {path.name: json.loads(path.read_text()) for path in folder.glob("host-?-?")}


def test_hosts_know_one_another_and_share_cores_and_gpus(program, monkeypatch, capfd):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,2,7")
    assert run_here(program("pass"), 2, 0) == 0
    (names, cores, gpus, _), (others, more_cores, more_gpus, _) = [
        facts(program.folder)["host-{}-0".format(place)] for place in (0, 1)
    ]
    assert names == others and len(set(names)) == 2
    assert (gpus, more_gpus) == ("4", "2,7")
    usable = sorted(os.sched_getaffinity(0))
    assert sorted(set(cores + more_cores)) == usable
    assert len(usable) < 2 or not set(cores) & set(more_cores)
    captured = capfd.readouterr()
    assert captured.out == "told by 0\n" and captured.err == "host 1: told by 1\n"


def test_fewer_gpus_than_hosts_are_told(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(UsageError, match="without a GPU: there are 2"):
        run_here(["true"], 3, 0)


def test_all_start_again_after_one_was_killed(program, caplog):
    # The one that was killed explains the end of the other, also where it is seen later.
    killed = "if place and not starts: time.sleep(1), os.kill(os.getpid(), 9)\n"
    killed += "if not starts: sys.exit(75)"
    assert run_here(program(killed), 2, 3) == 0
    assert sorted(facts(program.folder)) == ["host-0-0", "host-0-1", "host-1-0", "host-1-1"]
    assert "Host 1 was killed by signal 9" in caplog.text and "left: 2" in caplog.text


def test_restarts_come_to_an_end(program):
    assert run_here(program("sys.exit(75)"), 2, 2) == 75
    assert len(facts(program.folder)) == 6


@pytest.mark.parametrize("code", [2, 3, 143])
def test_what_a_restart_would_not_change_is_final(program, code):
    assert run_here(program("sys.exit({})".format(code)), 2, 3) == code
    assert len(facts(program.folder)) == 2


def test_one_that_hangs_is_ended_when_another_is_lost(program, monkeypatch):
    monkeypatch.setattr(processes, "_PATIENCE", 0.5)
    began = time.monotonic()
    assert run_here(program("place and sys.exit(75)\ntime.sleep(100)"), 2, 0) == 75
    assert time.monotonic() - began < 50


def start(words, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "albert", "launch", *words],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more
    )  # fmt: skip


def wait_for_hosts(folder, count):
    deadline = time.monotonic() + 60
    while len(facts(folder)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return [found[-1] for found in facts(folder).values()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_goes_to_all_and_ends_the_launch(program, number):
    obeyed = "signal.signal(15, lambda *_: sys.exit(143))\nopen(path + '+', 'w').close()\n"
    command = program(obeyed + "time.sleep(100)")
    launched = start(["--hosts=2", "--max_restarts=5", "--", *command])
    wait_for_hosts(program.folder, 2)
    while len(list(program.folder.glob("*+"))) < 2:
        time.sleep(0.05)
    launched.send_signal(number)
    output, _ = launched.communicate(timeout=60)
    assert launched.returncode == 143, output
    assert len(facts(program.folder)) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
def test_hosts_do_not_outlive_a_launcher_that_was_killed(program):
    launched = start(["--hosts=2", "--", *program("time.sleep(100)")])
    running = wait_for_hosts(program.folder, 2)
    launched.kill()
    launched.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while [pid for pid in running if os.path.exists("/proc/{}/cmdline".format(pid))]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    "words, told",
    [
        (["--hosts=2", "multigpu_pretraining.py"], "Write what to start after two dashes"),
        (["--hosts=2", "--"], "Write what to start after two dashes"),
        (["--hosts=0", "--", "true"], "--hosts must be between 1 and 4096. Received 0"),
        (["--max_restarts=-1", "--", "true"], "--max_restarts must be between 0"),
        (["--engine=slurm", "--", "true"], "--engine"),
        (["--address=auto", "--", "true"], "--address=auto is of --engine=ray"),
        (["--", "no-such-program.py"], "There is no program 'no-such-program.py'"),
    ],
)
def test_what_cannot_be_launched_is_told(words, told, capsys):
    assert albert("launch", *words) == 2
    assert told in capsys.readouterr().err


def test_missing_ray_is_explained(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert albert("launch", "--engine=ray", "--", "true") == 2
    assert "needs Ray Train, which is an extra" in capsys.readouterr().err


def test_ray_starts_hosts_and_starts_them_again(program):
    pytest.importorskip("ray", reason="Ray is not installed; it is an extra")
    command = program("if place == 1 and not starts: os.kill(os.getpid(), 9)")
    quiet = dict(os.environ, RAY_USAGE_STATS_ENABLED="0")
    words = ["--engine=ray", "--hosts=2", "--max_restarts=1", "--", *command]
    launched = start(words, env=quiet)
    output, _ = launched.communicate(timeout=240)
    assert launched.returncode == 0, output
    found = facts(program.folder)
    assert len(found["host-1-1"][0]) == 2 and sorted(found)[-2:] == ["host-1-0", "host-1-1"]
    assert "told by 0" in output and "host 1: told by 1" in output


@pytest.mark.parametrize("code, requeued", [(0, False), (2, False), (75, True), (143, True)])
def test_the_slurm_job_goes_back_into_the_queue_where_that_helps(tmp_path, code, requeued):
    (tmp_path / "srun").write_text('#!/bin/sh\necho srun "$@"\nexit {}\n'.format(code))
    (tmp_path / "scontrol").write_text('#!/bin/sh\necho scontrol "$@"\n')
    for name in ("srun", "scontrol"):
        (tmp_path / name).chmod(0o755)
    job = os.path.join(ROOT, "examples", "slurm", "pretrain.sbatch")
    environment = dict(os.environ, SLURM_JOB_ID="7")
    environment["PATH"] = "{}:{}".format(tmp_path, environment["PATH"])
    done = subprocess.run(
        ["bash", job, "--model=base", "--input_file=/data/*.x"],
        env=environment, stdout=subprocess.PIPE, text=True, check=False
    )  # fmt: skip
    assert done.returncode == code
    assert "multigpu_pretraining.py --model=base --input_file=/data/*.x\n" in done.stdout
    assert ("scontrol requeue 7" in done.stdout) == requeued
