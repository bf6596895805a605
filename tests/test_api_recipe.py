"""One file does the whole job, and only what is not done yet."""

import json
import os
import subprocess
import sys
import time

import pytest
from conftest import ROOT, standard_input

import albert
from albert.recipe import run
from albert.recipe.keys import resolved
from albert.recipe.reading import read_recipe
from albert.system.errors import UsageError

SMALL = {
    "text": {"input_file": "text.txt", "language": "ms"},
    "tokenizer": {"vocab_size": 60},
    "records": {"max_seq_length": 32, "dupe_factor": 1},
    "model": {"preset": "nano-modern", "hidden_size": 32, "intermediate_size": 64},
    "train": {"num_train_steps": 8, "train_batch_size": 4, "save_checkpoints_steps": 2},
    "evaluate": {},
    "finetune": {"task": "classification", "train_file": "labels.csv", "num_train_epochs": 1},
    "export": {},
}
ALL = ["text", "tokenizer", "records", "records held out", "train", "evaluate", "finetune"]
ALL.append("export")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a recipe, a text and labels."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.json").write_text(json.dumps(SMALL))
    sentences = ["kucing nombor {} makan ikan di dapur".format(n) for n in range(400)]
    documents = ["\n".join(sentences[n : n + 4]) for n in range(0, 400, 4)]
    (tmp_path / "text.txt").write_text("\n\n".join(documents))
    rows = ["{} {},{}".format("kucing ikan"[7 * (n % 2) :], n, n % 2) for n in range(40)]
    (tmp_path / "labels.csv").write_text("\n".join(["text,label", *rows]))
    return tmp_path


@pytest.fixture
def called(place, monkeypatch):
    """The commands that were run, each of which only leaves something under the right name."""
    commands = []

    def call(words):
        flags = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
        commands.append((words[1], flags))
        made = [flags.get(name) for name in ("output_file", "valid_file")]
        made += [flags["model_prefix"] + ".model"] if "model_prefix" in flags else []
        folder = flags.get("export_dir", flags.get("output_dir"))
        made += [os.path.join(folder, "eval_results.txt")] if folder else []
        for path in filter(None, made):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as handle:
                handle.write(path)
        return 0

    monkeypatch.setattr(run, "call", call)
    return commands


def names(called):
    found = [name for name, _ in called]
    called.clear()
    return found


def test_what_is_done_is_left_alone(called):
    assert albert.run_recipe("small.json") == ["runs/small"]
    assert called[4][1]["albert_config_file"] == "runs/small/model.json"
    assert called[6][1]["init_checkpoint"] == "runs/small/model"
    assert called[7][1]["output_dir"] == "runs/small/finetuned"
    all_commands = ["clean", "tokenizer", "records", "records", "pretrain", "validate"]
    assert names(called) == [*all_commands, "finetune", "export"]
    run.run_recipe("small.json")
    run.run_recipe("runs/small/recipe.json")  # which repeats the run
    assert not called
    run.run_recipe("small.json", "finetune.num_train_epochs=2")
    assert names(called) == ["finetune", "export"]
    assert os.path.isdir("runs/small/finetuned.before-1")
    with open("text.txt", "a") as handle:
        handle.write("\n\nSatu lagi.")
    run.run_recipe("small.json", "finetune.num_train_epochs=2")
    assert names(called)[0] == "clean"


def test_text_comes_from_a_folder_or_a_pipe(called, place):
    (place / "texts" / "deep").mkdir(parents=True)
    (place / "texts" / "deep" / "a.txt").write_text("satu")
    albert.run_recipe("small.json", "text.input_file=texts")
    assert names(called)[0] == "clean"
    (place / "texts" / "b.txt").write_text("dua")
    albert.run_recipe("small.json", "text.input_file=texts")
    assert names(called)[0] == "clean"
    with standard_input(b"tiga"):
        albert.run_recipe("small.json", "text.input_file=-")
    assert called[0] == ("clean", dict(called[0][1], input_file="runs/small/piped-0"))
    assert (place / "runs" / "small" / "piped-0").read_text() == "tiga" and names(called)
    for given in (b"", b"tiga"):  # of the same text nothing is done again, with the pipe or without
        with standard_input(given):
            albert.run_recipe("small.json", "text.input_file=-")
        assert not names(called)
    with standard_input(b"empat"):
        albert.run_recipe("small.json", "text.input_file=-")
    assert names(called)[0] == "clean"
    with standard_input(b""), pytest.raises(
        UsageError, match="Nothing came through --input_file=-"
    ):
        albert.run_recipe("small.json", "text.input_file=-", "output_dir=other")


def test_a_longer_training_goes_on_and_another_one_begins(called, capsys):
    run.run_recipe("small.json")
    names(called)
    run.run_recipe("small.json", "train.num_train_steps=16")
    assert names(called) == ["pretrain", "validate", "finetune", "export"]
    assert "=== train: goes on" in capsys.readouterr().out
    assert not os.path.exists("runs/small/model.before-1")
    run.run_recipe("small.json", "model.hidden_size=64")
    assert names(called) == ["pretrain", "validate", "finetune", "export"]
    with open("runs/small/model.json") as handle:
        assert json.load(handle)["hidden_size"] == 64
    assert os.path.isdir("runs/small/model.before-1")


def test_a_step_that_fails_ends_the_run_and_is_taken_again(called, monkeypatch):
    right = run.call
    monkeypatch.setattr(run, "call", lambda words: 7 if "pretrain" in words else right(words))
    with pytest.raises(run.Failed, match="train ended with exit code 7"):
        run.run_recipe("small.json")
    names(called)
    monkeypatch.setattr(run, "call", right)
    run.run_recipe("small.json")
    assert names(called) == ["pretrain", "validate", "finetune", "export"]


def test_a_sweep_shares_the_steps_before(called):
    folders = run.run_recipe("small.json", sweep=["train.learning_rate=1e-3,2e-3"])
    assert folders == ["runs/small/train.learning_rate=" + rate for rate in ("1e-3", "2e-3")]
    rates = [flags["learning_rate"] for name, flags in called if name == "pretrain"]
    assert rates == ["1e-3", "2e-3"]
    assert names(called).count("records") == 2  # one to train on, one held out


def test_a_dry_run_says_all_and_does_nothing(called, capsys):
    run.run_recipe("small.json", dry_run=True)
    told = capsys.readouterr().out
    assert not called and not os.path.exists("runs")
    assert [line.split("  ")[0] for line in told.splitlines()[::2]] == ALL
    assert told.count("to do") == len(ALL)


def test_the_flat_form_of_the_guide_is_a_recipe(tmp_path):
    flat = {
        "albert_config": {"hidden_size": 1024, "vocab_size": 30000},
        "dupe_factor": 2,
        "do_lower_case": True,
        "learning_rate": 0.00176,
        "max_seq_length": 512,
    }
    (tmp_path / "flat.json").write_text(json.dumps(flat))
    found = resolved(read_recipe(str(tmp_path / "flat.json"), ["text.input_file=a.txt"]))
    assert found["model"] == flat["albert_config"]
    assert found["records"] == {"dupe_factor": 2, "do_lower_case": True, "max_seq_length": 512}
    assert found["train"] == {"learning_rate": 0.00176, "max_seq_length": 512}
    assert found["text"] == {"do_lower_case": True, "input_file": "a.txt"}


@pytest.mark.parametrize(
    "change, told",
    [
        ("trian.learning_rate=1", "no section 'trian'; did you mean train"),
        ("train.lerning_rate=1", "lerning_rate.*did you mean learning_rate"),
        ("train.learning_rate=fast", "train.learning_rate of the recipe is 'fast'"),
        ("train.flagfile=cpu-tini", "No file of flags 'cpu-tini'"),
        ("model.hiden_size=3", "hidden_size"),
        ("learning_rate=1", "SECTION.KEY=VALUE"),
        ("text.input_file=[", "Cannot read the value"),
    ],
)
def test_mistakes_are_told_before_anything_runs(called, change, told):
    with pytest.raises(UsageError, match=told):
        run.run_recipe("small.json", change)
    assert not called and not os.path.exists("runs")


@pytest.mark.parametrize(
    "content", ["", "just words", "- a\n- b", "text: 3", "text: {a", "[" * 9999]
)
def test_what_is_no_recipe_is_refused(tmp_path, content):
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(UsageError):
        read_recipe(str(tmp_path / "a.yaml"))


@pytest.mark.skipif(sys.version_info < (3, 10), reason="Python 3.7 has no ftfy, which clean needs")
def test_a_job_that_was_killed_at_three_places_goes_on(place):
    steps = ("train", "evaluate", "finetune")
    one_core = ["{}.{}".format(s, f) for s in steps for f in ("use_gpu=False", "num_gpu_cores=1")]
    command = [sys.executable, "-m", "albert", "run", str(place / "small.json")]
    command += ["output_dir={}".format(place / "out"), *one_core]
    environment = dict(os.environ, PYTHONPATH=ROOT)
    state, checkpoint = place / "out" / "steps.json", place / "out" / "model" / "checkpoint"
    for there in (
        lambda: state.exists() and "records" in state.read_text(),
        checkpoint.exists,
        lambda: "finetune" in state.read_text(),
    ):
        cut_off = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        while not there():
            assert cut_off.poll() is None
            time.sleep(0.05)
        subprocess.run(["pkill", "-9", "-f", str(place)], check=True)
        cut_off.wait()
    cleaned = (place / "out" / "train.txt").stat().st_mtime_ns
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    told = done.stdout.decode()
    assert "=== train: done" in told and "=== finetune: goes on" in told
    assert (place / "out" / "export" / "model.safetensors").exists()
    assert (place / "out" / "train.txt").stat().st_mtime_ns == cleaned
