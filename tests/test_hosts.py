"""Several hosts train one model: who they are, equal numbers, what is said when one is missing."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import ROOT, SIZES, write_record_file
from test_import_export import albert

from albert.checkpoints.manager import latest_checkpoint, read_tensors
from albert.compat import runtime_name, tf
from albert.data.batches import Share
from albert.hosts.agreement import agree, check_equal
from albert.hosts.cluster import Cluster, HostOptions
from albert.hosts.group import ALONE, HostLost, Hosts
from albert.hosts.meeting import NotAllCame, meet
from albert.hosts.processes import free_ports
from albert.system.errors import UsageError
from albert.training.api import evaluate, pretrain

needs_collectives = pytest.mark.skipif(
    runtime_name().startswith("TensorFlow 1."), reason="TensorFlow 1.15 stays on one host"
)


def test_one_host_where_nothing_names_any():
    assert HostOptions().cluster({}) == Cluster([""], 0)
    assert HostOptions().cluster({"SLURM_STEP_NUM_TASKS": "1"}) == Cluster([""], 0)


def test_hosts_by_flags_have_ports():
    found = HostOptions(["a", " b:77"], 1).cluster({"TF_CONFIG": "not looked at"})
    assert found == Cluster(["a:2222", "b:77"], 1)


def test_hosts_by_tf_config_chief_first():
    config = {
        "cluster": {"worker": ["b:1", "c:2"], "chief": ["a:3"]},
        "task": {"type": "worker", "index": 1},
    }
    assert HostOptions().cluster({"TF_CONFIG": json.dumps(config)}) == Cluster(
        ["a:3", "b:1", "c:2"], 2
    )


def test_hosts_by_slurm_are_the_tasks_of_the_step(tmp_path, monkeypatch):
    scontrol = tmp_path / "scontrol"
    scontrol.write_text("#!/bin/sh\n[ \"$3\" = 'n[9-10],m' ] && printf 'n9\\nn10\\nm\\n'\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    step = {
        "SLURM_STEP_NUM_TASKS": "5",
        "SLURM_STEP_NODELIST": "n[9-10],m",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
        "SLURM_PROCID": "3",
        "SLURM_JOB_ID": "7",
    }
    found = HostOptions().cluster(step)
    assert found.index == 3
    assert found.addresses == ["n9:20112", "n9:20113", "n10:20112", "n10:20113", "m:20112"]
    with pytest.raises(UsageError, match="Slurm says that 5 tasks run, but not on which nodes"):
        HostOptions().cluster({"SLURM_STEP_NUM_TASKS": "5"})


@pytest.mark.parametrize(
    "options, environment, told",
    [
        (HostOptions(["a", "b"]), {}, "say by --host_index=0 to 1 which one this is"),
        (HostOptions(["a", "b"], 2), {}, "between 0 and 1 for the hosts a:2222, b:2222"),
        (HostOptions(["a", "a:2222"], 0), {}, "names a:2222 twice"),
        (HostOptions(["a:x", "b"], 0), {}, "Received 'a:x'"),
        (HostOptions(None, 1), {}, "--host_index=1 needs --hosts"),
        (HostOptions(host_timeout=0), {}, "at least 3 seconds, .* Received 0"),
        (HostOptions(), {"TF_CONFIG": "{"}, "TF_CONFIG must look like"),
        (HostOptions(), {"TF_CONFIG": '{"cluster": {}, "task": {}}'}, "TF_CONFIG must look like"),
        (
            HostOptions(),
            {"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}'},
            "TF_CONFIG must look like",
        ),
    ],
)
def test_a_wrong_cluster_is_told(options, environment, told):
    with pytest.raises(UsageError, match=told):
        options.cluster(environment)


def test_shares_cut_a_batch_without_rest():
    places = np.arange(12)
    parts = [places[Share(index, 3).of(12)] for index in range(3)]
    np.testing.assert_array_equal(np.concatenate(parts), places)


def test_alone_nothing_is_added_or_compared():
    assert agree(ALONE, lambda: "made", lambda made: {"fact": "x"}) == "made"
    assert ALONE.total([1.5], "x") == [1.5] and ALONE.texts("a", "x") == ["a"]


class Told(Hosts):
    """The first of three hosts; what each says of its weights is given, or noted."""

    def __init__(self, *others):
        super().__init__(Cluster(["a:1", "b:2", "c:3"], 0))
        self._others, self.said = others, None

    def texts(self, text, purpose):
        self.said = text
        return [text, *(self._others or [text, text])]

    def part(self):
        pass


def test_a_host_whose_weights_drift_is_named_before_anything_is_saved():
    weights = {"w": tf.Variable(np.float32(1.0))}
    same, drifted = Told(), Told()
    check_equal(same, weights, 7)
    check_equal(drifted, {"w": tf.Variable(np.nextafter(np.float32(1.0), np.float32(2.0)))}, 7)
    with pytest.raises(HostLost, match="At step 7 c:3 has other weights than the others; nothing"):
        check_equal(Told(same.said, drifted.said), weights, 7)


def test_fine_tuning_says_that_it_stays_on_one_host(monkeypatch, capsys):
    config = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    words = ["--task=tagging", "--train_file=x", "--output_dir=y", "--init_checkpoint=z"]
    assert albert("finetune", *words) == 2
    assert "Fine-tuning runs on one host, but TF_CONFIG or Slurm name 2" in capsys.readouterr().err


def test_the_python_functions_say_that_they_stay_on_one_host(monkeypatch):
    config = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(UsageError, match="pretrain runs on one host, .* name 2"):
        pretrain("x", model="tiny", output_dir="y")
    with pytest.raises(UsageError, match="evaluate runs on one host, .* name 2"):
        evaluate("y", "x")


# ------------------------------------------------------------------- processes


@pytest.fixture
def job(tmp_path):
    """Starts a training on some hosts, all of them this machine."""
    train = write_record_file(tmp_path / "train.tfrecord", 97)
    valid = write_record_file(tmp_path / "valid.tfrecord", 21, seed=1)
    config = dict(SIZES, layout="brightmart", hidden_dropout_prob=0.0)
    config["attention_probs_dropout_prob"] = 0.0
    (tmp_path / "config.json").write_text(json.dumps(config))
    flags = [
        "--input_file=" + train,
        "--eval_file=" + valid,
        "--albert_config_file={}".format(tmp_path / "config.json"),
        "--train_batch_size=8",
        "--eval_batch_size=8",
        "--save_checkpoints_steps=4",
        "--eval_steps=4",
        "--log_steps=1",
        "--learning_rate=1e-3",
        "--optimizer=adamw",
        "--use_gpu=False",
        "--tqdm_off",
    ]
    started = []

    def start(name, hosts, towers, *more, script="multigpu_pretraining.py", differing=()):
        ports = free_ports(hosts)
        names = ",".join("127.0.0.1:{}".format(port) for port in ports)
        for index in range(hosts):
            words = [sys.executable, os.path.join(ROOT, script), *flags, *more]
            words += ["--output_dir={}".format(tmp_path / name)]
            words += ["--num_gpu_cores={}".format(towers)]
            if hosts > 1:
                words += ["--hosts=" + names, "--host_index={}".format(index)]
            words += differing if index == hosts - 1 else []
            started.append(
                subprocess.Popen(
                    words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path
                )
            )
        return started[-hosts:]

    yield start
    for process in started:
        process.kill()
        process.wait()


def ended(processes, code=0):
    """The outputs of processes that all end with one exit code."""
    outputs = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [code] * len(processes), outputs
    return outputs


def numbers(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(v["kind"], v["step"], v["loss"], v["masked_lm_loss"]) for v in lines]


def assert_the_same_run(one, other):
    left, right = numbers(one), numbers(other)
    assert [line[:2] for line in left] == [line[:2] for line in right]
    np.testing.assert_allclose([x[2:] for x in left], [x[2:] for x in right], atol=2e-6, rtol=1e-6)
    weights, others = (read_tensors(latest_checkpoint(str(folder))) for folder in (one, other))
    assert set(weights) == set(others)
    for name, value in weights.items():
        np.testing.assert_allclose(value, others[name], atol=3e-5, err_msg=name)


@needs_collectives
def test_hosts_train_the_same_model_and_go_on_without_each_other(job, tmp_path):
    more = ["--padding=pack", "--gradient_accumulation_steps=2"]
    ended(job("one", 1, 2, "--num_train_steps=8", *more))
    first, second = ended(job("two", 2, 1, "--num_train_steps=4", *more))
    assert "2 hosts: this is number 0" in first and "step 4/4" in first
    assert "2 hosts: this is number 1" in second and "step 4" not in second
    ended(job("two", 1, 2, "--num_train_steps=8", *more))  # the same batches on one host
    # The schedule of four updates ended at a lower rate, so the rates of the second half differ.
    ended(job("other", 2, 1, "--num_train_steps=8", *more))
    assert_the_same_run(tmp_path / "one", tmp_path / "other")
    assert numbers(tmp_path / "two")[-1][:2] == ("eval", 8)


@needs_collectives
def test_hosts_go_on_at_the_rate_that_the_first_one_knows_of(job, tmp_path):
    ended(job("run", 1, 1, "--num_train_steps=4"))
    kept = {"count": 1, "undone": 0, "learning_rate": 1e-3}
    (tmp_path / "run" / "rollbacks.json").write_text(json.dumps(kept))
    # At another rate the second host would have other weights, which ends the run at a save.
    first, _ = ended(job("run", 2, 1, "--num_train_steps=8"))
    assert "After 1 rollbacks the rate is 0.0005" in first


@needs_collectives
def test_what_differs_or_is_missing_on_one_host_is_told_on_all(job, tmp_path):
    outputs = ended(job("a", 2, 1, differing=["--weight_decay=0.5"]), 2)
    for output in outputs:
        assert "The hosts are not of one mind: --weight_decay is 0.01 on 127.0.0.1" in output
        assert "Traceback" not in output
    outputs = ended(job("b", 2, 1, differing=["--input_file=missing.tfrecord"]), 2)
    for output in outputs:
        assert "missing.tfrecord" in output and "Traceback" not in output


def meeting(place, timeout, addresses, told, patience=60.0):
    """Starts to wait for the others; what it ends with comes into `told`."""

    def wait():
        try:
            meet(Cluster(addresses, place), timeout, patience)
            told[place] = "all here"
        except NotAllCame as error:
            told[place] = str(error)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_hosts_meet_in_any_order():
    addresses = ["127.0.0.1:{}".format(port) for port in free_ports(4)]
    told = {}
    threads = [meeting(place, 10.0, addresses, told) for place in (2, 0, 3)]
    time.sleep(1.5)
    assert not told
    for thread in [*threads, meeting(1, 10.0, addresses, told)]:
        thread.join(30)
    assert told == dict.fromkeys(range(4), "all here")


def test_who_has_not_come_is_named(caplog):
    addresses = ["127.0.0.1:{}".format(port) for port in free_ports(4)]
    told = {}
    caplog.set_level("INFO", "absl")
    for thread in [meeting(place, 10.0, addresses, told, patience=6.0) for place in (0, 2)]:
        thread.join(30)
    late = "{} did not come within 6 s. Start the hosts together, or give them longer with "
    late += "--host_timeout."
    assert told[0] == late.format("{}, {}".format(addresses[1], addresses[3]))
    assert told[2] in (told[0], late.format(addresses[0]))
    assert "Waiting for {}, {}".format(addresses[1], addresses[3]) in caplog.text


@pytest.mark.parametrize("silent", [0, 1])
def test_a_host_that_comes_and_falls_silent_is_lost_within_the_time(silent):
    addresses = ["127.0.0.1:{}".format(port) for port in free_ports(3)]
    told = {}
    with socket.socket() as other:
        if silent == 0:
            other.bind(("127.0.0.1", int(addresses[0].rpartition(":")[2])))
            other.listen()
            thread = meeting(1, 3.0, addresses, told)
            guest = other.accept()[0]
            guest.sendall(b"somebody;")
        else:
            thread = meeting(0, 3.0, addresses, told)
            time.sleep(0.5)
            other.connect(("127.0.0.1", int(addresses[0].rpartition(":")[2])))
            other.sendall(b"1;")
        start = time.monotonic()
        thread.join(30)
    assert time.monotonic() - start <= 3.0
    expected = "{} came, but is not heard of any more.".format(addresses[silent])
    assert list(told.values()) == [expected]


@needs_collectives
@pytest.mark.parametrize(
    "lost, what", [(0, signal.SIGSTOP), (1, signal.SIGSTOP), (1, signal.SIGKILL)]
)
def test_a_lost_host_ends_the_others_with_a_sentence(job, tmp_path, lost, what):
    processes = job("run", 2, 1, "--num_train_steps=100000", "--host_timeout=5")
    deadline = time.time() + 120
    while not list(tmp_path.glob("run/model.ckpt-*.index")) and time.time() < deadline:
        time.sleep(0.2)
    hosts = processes[0].args[-2]
    processes[lost].send_signal(what)
    (output,) = ended([processes[1 - lost]], 75)
    expected = "{} is not heard of any more. The same commands go on"
    assert expected.format(hosts.partition("=")[2].split(",")[lost]) in output
    assert "Traceback" not in output


@needs_collectives
def test_a_signal_to_one_host_ends_all_after_the_same_update(job, tmp_path):
    processes = job("run", 2, 1, "--num_train_steps=100000")
    deadline = time.time() + 120
    while not list(tmp_path.glob("run/model.ckpt-*.index")) and time.time() < deadline:
        time.sleep(0.2)
    processes[1].send_signal(signal.SIGTERM)
    first, _ = ended(processes, 128 + signal.SIGTERM)
    assert "Stopped by signal 15 at step" in first


@needs_collectives
def test_a_validation_is_divided_over_the_hosts(job, tmp_path):
    ended(job("run", 1, 1, "--num_train_steps=4"))
    results = tmp_path / "run" / "eval_results.txt"
    ended(job("run", 1, 1, script="validation.py"))
    alone = results.read_text()
    ended(job("run", 2, 1, script="validation.py"))
    left, right = [
        {k: float(v) for k, v in (line.split(" = ") for line in text.splitlines())}
        for text in (alone, results.read_text())
    ]
    assert set(left) == set(right) and left == pytest.approx(right, abs=1e-6)


@pytest.mark.skipif(
    not runtime_name().startswith("TensorFlow 1."), reason="current TensorFlow trains on several"
)
def test_the_old_tensorflow_says_that_it_stays_on_one_host(job):
    outputs = ended(job("run", 2, 1), 2)
    assert all("TensorFlow 1.15 trains on one host" in output for output in outputs)
