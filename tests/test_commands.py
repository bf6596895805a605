"""The commands as people type them; in processes of their own where that matters."""

import errno
import glob
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from absl.testing import flagsaver
from conftest import ROOT, SIZES, not_applied, write_record_file
from manifests import manifest
from oracles import goldens
from test_import_export import albert

from albert.checkpoints.manager import (
    CheckpointManager,
    latest_checkpoint,
    read_tensors,
    saved_steps,
)
from albert.checkpoints.results import read_results
from albert.commands import flags as albert_flags
from albert.commands import pretrain, validate
from albert.compat import tf
from albert.model.config import ModelConfig
from albert.model.initial import initial_values
from albert.model.losses import WeightedSum
from albert.optim.rates import rate_warning, suggested_rate
from albert.records.manifest import write_manifest
from albert.system.command_line import parse
from albert.system.errors import exit_on_usage_error
from albert.system.files.atomic import held
from albert.system.files.shipped import CONFIG_DIRECTORY
from albert.training import evaluation
from albert.training.log.metrics import read_metrics
from albert.training.loop import learner
from albert.training.step.totals import Totals

TRAIN, VALIDATE = "multigpu_pretraining.py", "validation.py"


def command(script, *arguments):
    return [sys.executable, os.path.join(ROOT, script)] + list(arguments)


def run(script, *arguments, **options):
    done = subprocess.run(
        command(script, *arguments),
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )
    done.output = done.stdout + done.stderr
    return done


def here(script, arguments):
    """The exit code of a command in this process."""
    main = {TRAIN: pretrain.main, VALIDATE: validate.main}[script]
    with flagsaver.flagsaver():
        try:
            return main([script] + arguments)
        except SystemExit as ended:
            return ended.code


@pytest.fixture
def work(tmp_path):
    """A folder with records, held-out records and a config."""
    write_record_file(tmp_path / "train.tfrecord", 90, seed=1)
    write_record_file(tmp_path / "held_out.tfrecord", 31, seed=2)
    (tmp_path / "small.json").write_text(json.dumps(dict(SIZES, layout="google")))
    return tmp_path


def training_flags(work, steps=40, **more):
    flags = {
        "input_file": work / "train.tfrecord",
        "output_dir": work / "out",
        "bert_config_file": work / "small.json",
        "train_batch_size": 6,
        "num_train_steps": steps,
        "num_warmup_steps": 2,
        "learning_rate": 1e-3,
        "save_checkpoints_steps": 5,
        "log_steps": 10,
        "use_gpu": False,
        "num_gpu_cores": 2,
    }
    flags.update(more)
    return ["--{}={}".format(name, value) for name, value in flags.items()]


def weights_hash(directory):
    tensors = read_tensors(latest_checkpoint(str(directory)))
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].tobytes())
    return digest.hexdigest()


def test_training_leaves_everything_a_run_should(work):
    flags = training_flags(
        work,
        eval_file=work / "held_out.tfrecord",
        eval_steps=15,
        keep_checkpoint_max=2,
        do_eval=True,
        export_dir=work / "served",
    )
    assert here(TRAIN, flags) == 0
    out = work / "out"
    assert saved_steps(str(out)) == [35, 40]
    names = set(os.listdir(str(out)))
    assert {
        "checkpoint",
        "flags.txt",
        "albert_config.json",
        "metrics.jsonl",
        "best",
        "learning_curves.png",
        "eval_results.txt",
    } <= names
    assert {"train", "eval"} == set(os.listdir(str(out / "tensorboard")))
    assert (work / "served" / "saved_model.pb").is_file()
    assert (out / "learning_curves.png").read_bytes()[:4] == b"\x89PNG"
    lines = read_metrics(str(out))
    assert [line["step"] for line in lines if line["kind"] == "train"] == [10, 20, 30, 40]
    assert [line["step"] for line in lines if line["kind"] == "eval"] == [15, 30, 40]
    evaluated = {line["step"]: line["loss"] for line in lines if line["kind"] == "eval"}
    best = int(re.search(r"-(\d+)$", latest_checkpoint(str(out / "best"))).group(1))
    assert evaluated[best] == min(evaluated.values())
    keys = {
        "loss",
        "masked_lm_loss",
        "masked_lm_accuracy",
        "sentence_order_accuracy",
        "mfu",
        "learning_rate",
        "gradient_norm",
        "sequences_per_second",
        "tokens_per_second",
    }
    assert keys <= set(lines[0])
    for text in (
        "***** Running training *****",
        "  Batch size = 6",
        "*** Features ***",
        "**** Trainable Variables ****",
        "*** Input Files ***",
        "Optimizer lamb",
        "***** Eval results *****",
        "step 40/40",
    ):
        assert text in (out / "log.txt").read_text(), text


def test_the_screen_is_for_people_and_the_log_file_has_it_all(work, capsys):
    flags = training_flags(work, eval_file=work / "held_out.tfrecord", eval_steps=20)
    done = run(TRAIN, *flags)
    assert done.returncode == 0, done.output
    assert not done.stdout
    said, log = done.stderr.splitlines(), (work / "out" / "log.txt").read_text()
    assert len(said) < 40 and "\x1b" not in done.stderr  # no colours in a pipe
    assert not [line for line in said if re.match(r"[IWE]\d{4} |.*\.py:\d+\]", line)]
    for pattern in (
        r"^TensorFlow \S+: 2 tower\(s\) on the CPU$",
        r"^Model: google layout, 2 layers of width 21, [\d,]+ weights$",
        r"^step 10/40  loss \S+  mlm \S+ \(\S+\)  sop ",
        r"^step 20, held out: masked words \S+ % right, \S+ nats; sentence order ",
        r"^ +step +masked words right +nats +sentence order right$",
        r"^ +held out, best +\d+ +\S+ % +\S+ +\S+ %$",
    ):
        assert [line for line in said if re.search(pattern, line)], pattern
    for line in said:
        assert line.split(": ", 1)[-1] in log, line
    capsys.readouterr()
    assert here(TRAIN, training_flags(work, 2, output_dir=work / "again") + ["--verbose"]) == 0
    assert "name = input_ids, shape = (6, 17)" in capsys.readouterr().err


def test_a_message_is_said_once_also_after_messages_before_the_console():
    lines = (
        "from absl import logging",
        "from albert.system.screen import console",
        "logging.info('early')",
        "console.start()",
        "logging.info('Training')",
        "logging.debug('a detail')",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=ROOT, stderr=subprocess.PIPE, check=True
    )
    assert done.stderr.decode().splitlines() == ["Training"]


def test_flags_of_a_run_repeat_it(work):
    assert here(TRAIN, training_flags(work, steps=6)) == 0
    flags = "--flagfile={}".format(work / "out" / "flags.txt")
    assert here(TRAIN, [flags, "--output_dir={}".format(work / "again")]) == 0
    assert weights_hash(work / "again") == weights_hash(work / "out")


def kill_at(work, flags, step):
    """Runs until a checkpoint of at least `step` exists, then kills without mercy."""
    process = subprocess.Popen(
        command(TRAIN, *flags), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.time() + 120
    while time.time() < deadline and process.poll() is None:
        if max(saved_steps(str(work / "out")) or [0]) >= step:
            break
        time.sleep(0.01)
    process.kill()
    process.wait()
    return max(saved_steps(str(work / "out")))


def test_killed_and_resumed_equals_unbroken_bit_for_bit(work):
    config = dict(SIZES, layout="google", hidden_dropout_prob=0.1)
    (work / "small.json").write_text(json.dumps(config))
    unbroken = run(TRAIN, *training_flags(work, output_dir=work / "unbroken"))
    assert unbroken.returncode == 0, unbroken.output
    flags = training_flags(work)
    assert kill_at(work, flags, 5) < 40
    resumed = run(TRAIN, *flags)
    assert resumed.returncode == 0 and "Resuming" in resumed.output, resumed.output
    assert weights_hash(work / "out") == weights_hash(work / "unbroken")
    steps = [line["step"] for line in read_metrics(str(work / "out"))]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_and_exits(work, number):
    flags = training_flags(work, steps=100000, save_checkpoints_steps=100000, log_steps=5)
    process = subprocess.Popen(
        command(TRAIN, *flags), stderr=subprocess.PIPE, universal_newlines=True
    )
    for line in process.stderr:
        if "step 10/" in line:
            process.send_signal(number)
            break
    rest = process.stderr.read()
    assert process.wait(60) == 128 + number
    assert "Stopped by signal {} ".format(int(number)) in rest and "Traceback" not in rest
    assert saved_steps(str(work / "out"))[-1] >= 10


@pytest.mark.parametrize(
    "moment, number",
    [
        ("import", signal.SIGTERM),
        ("import", signal.SIGINT),
        ("start", signal.SIGTERM),
        ("start", signal.SIGHUP),
    ],
)
def test_a_signal_before_the_first_step_is_one_line(work, number, moment):
    """While modules are loaded, and while records are opened and the step is built."""
    told = {"import": "Python is there", "start": "tower(s) on the CPU"}[moment]
    program = (
        "import sys, runpy; sys.argv = sys.argv[1:]; print('Python is there', file=sys.stderr, "
        "flush=True); runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    script, *flags = command(TRAIN, *training_flags(work))[1:]
    process = subprocess.Popen(
        [sys.executable, "-c", program, script] + flags,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        cwd=ROOT,
    )
    for line in process.stderr:
        if told in line:
            break
    time.sleep(0.5)  # the command has it in hand a moment later
    process.send_signal(number)
    rest = process.stderr.read()
    assert process.wait(60) == 128 + number
    assert "Traceback" not in rest
    assert rest.splitlines()[-1].startswith(("Stopped by signal", "Interrupted."))


def test_first_updates_of_other_records_and_batches_go_on_where_they_stopped(work, capsys):
    write_record_file(work / "short.tfrecord", 50, seed=3, sequence=11, predictions=3)
    first = dict(
        first_steps=6, first_input_file=work / "short.tfrecord", first_train_batch_size=8, ema=0.9
    )
    first.update(save_checkpoints_steps=2, log_steps=3, z_loss=1e-4, schedule="constant")
    assert here(TRAIN, training_flags(work, 9, output_dir=work / "whole", **first)) == 0
    told = capsys.readouterr().err
    assert "first 6 updates of 8 examples, 1.0 times through 50 examples of 11 pieces" in told
    assert "then 3 updates of 6 examples, 0.2 times through 90 examples of 17 pieces" in told
    for steps in (6, 8, 9):
        assert here(TRAIN, training_flags(work, steps, output_dir=work / "parts", **first)) == 0
    assert weights_hash(work / "parts") == weights_hash(work / "whole")


def test_a_run_goes_on_without_a_damaged_record_where_it_may(work, capsys):
    with open(work / "train.tfrecord", "r+b") as handle:
        handle.seek(-60, os.SEEK_END)
        handle.write(b"?")
    flags = dict(steps=16, log_steps=8, output_dir=work / "out")
    assert here(TRAIN, training_flags(work, **flags)) == 2
    told = capsys.readouterr().err
    assert "train.tfrecord is damaged at byte offset" in told
    assert here(TRAIN, training_flags(work, skip_corrupt=1, **flags)) == 0
    lines = [line for line in read_metrics(str(work / "out")) if line["kind"] == "train"]
    assert [line["skipped_records"] for line in lines][-1] == 1


def test_validation_does_not_depend_on_batch_size_or_towers(work, capsys):
    assert here(TRAIN, training_flags(work, steps=5)) == 0
    flags = [
        "--input_file={}".format(work / "held_out.tfrecord"),
        "--output_dir={}".format(work / "out"),
        "--bert_config_file={}".format(work / "small.json"),
        "--use_gpu=False",
    ]

    def results(*more):
        capsys.readouterr()
        assert here(VALIDATE, flags + list(more)) == 0
        assert re.search("step 5: masked words .* % right", capsys.readouterr().err)
        return read_results(str(work / "out"))

    first = results("--eval_batch_size=31")
    for more in (["--eval_batch_size=4"], ["--eval_batch_size=12", "--num_gpu_cores=3"]):
        other = results(*more)
        assert set(other) == set(first)
        for name, value in first.items():
            assert other[name] == pytest.approx(value, rel=1e-6), name
    text = (work / "out" / "eval_results.txt").read_text()
    names = [line.split(" = ")[0] for line in text.splitlines()]
    assert (
        names
        == sorted(names)
        == [
            "global_step",
            "loss",
            "masked_lm_accuracy",
            "masked_lm_loss",
            "next_sentence_accuracy",
            "next_sentence_loss",
            "sentence_order_accuracy",
            "sentence_order_loss",
        ]
    )
    assert first["loss"] == pytest.approx(first["masked_lm_loss"] + first["next_sentence_loss"])
    part = results("--eval_batch_size=4", "--max_eval_steps=2")
    assert part["loss"] != first["loss"]
    assert here(VALIDATE, flags + ["--checkpoint=model.ckpt-99"]) == 2
    assert "No checkpoint" in capsys.readouterr().err


def test_several_checkpoints_are_validated_side_by_side(work, capsys):
    more = dict(eval_file=work / "held_out.tfrecord", eval_steps=6, save_checkpoints_steps=2)
    assert here(TRAIN, training_flags(work, 6, keep_checkpoint_max=2, **more)) == 0
    flags = ["--input_file={}".format(work / "held_out.tfrecord"), "--use_gpu=False"]
    flags.append("--output_dir={}".format(work / "out"))
    capsys.readouterr()
    assert here(VALIDATE, flags + ["--checkpoint=all"]) == 0
    said = capsys.readouterr().err
    lines = [json.loads(line) for line in (work / "out" / "validation.jsonl").open()]
    assert [line["step"] for line in lines] == [4, 6]
    held_out = read_metrics(str(work / "out"))[-1]
    assert lines[-1]["loss"] == pytest.approx(held_out["loss"], rel=1e-5)
    assert read_results(str(work / "out"))["global_step"] == 6
    row = [os.path.join(str(work / "out"), "model.ckpt-4"), "4", "{:.3f}".format(lines[0]["loss"])]
    assert row in [line.split()[:3] for line in said.splitlines()]
    assert "The lowest loss" in said
    assert (work / "out" / "validation_curves.png").read_bytes().startswith(b"\x89PNG")
    assert here(VALIDATE, flags + ["--checkpoint=model.ckpt-4,model.ckpt-5", "--no_save"]) == 2
    assert "No checkpoint" in capsys.readouterr().err


def test_validation_of_a_checkpoint_of_the_original(tmp_path, capsys):
    golden = goldens.load("google")
    write_record_file(tmp_path / "a.tfrecord", 4, sequence=24)
    config = os.path.join(os.path.dirname(golden.checkpoint), "config.json")
    flags = [
        "--input_file={}".format(tmp_path / "a.tfrecord"),
        "--checkpoint=" + golden.checkpoint,
        "--bert_config_file=" + config,
        "--output_dir={}".format(tmp_path),
    ]
    # The random records use 101 pieces, the recorded model has 64.
    assert here(VALIDATE, flags) == 2 and "vocab_size is 64" in capsys.readouterr().err


def test_the_seeds_own_command_runs_but_for_its_gpus(work, capsys):
    flags = (
        "--input_file={} --output_dir={} --do_train=True --do_eval=False "
        "--bert_config_file=albert_config/albert_config_base.json --train_batch_size=120 "
        "--max_seq_length=512 --max_predictions_per_seq=51 --masked_lm_prob=0.15 "
        "--num_train_steps=1000000 --num_warmup_steps=10 --learning_rate=2e-5 "
        "--save_checkpoints_steps=100000 --use_gpu=True --num_gpu_cores=3 --eval_batch_size=12"
    )
    assert here(TRAIN, flags.format(work / "train.tfrecord", work / "out").split()) == 2
    said = capsys.readouterr().err
    assert re.search(r"asks for 3 GPUs, but TensorFlow \S+ found 0", said), said
    assert "--use_gpu=False --num_gpu_cores=3" in said


def test_flags_of_the_original_systems_are_let_through(work, capsys):
    flags = training_flags(
        work,
        steps=2,
        use_tpu=False,
        num_tpu_cores=8,
        short_seq_prob=0.1,
        masked_lm_prob=0.15,
        learning_rate=2e-5,  # the Malay project's
    )
    assert here(TRAIN, flags) == 0
    said = capsys.readouterr().err
    assert said.count("is below the workable band") == 1
    assert "Flag --short_seq_prob of the original systems does nothing in this command" in said
    assert said.count("do nothing on GPUs and CPUs") == 1


def test_a_flag_that_nobody_knows_is_refused(work, capsys):
    for word, told in (
        ("--lerning_rate=3", "no flag --lerning_rate; did you mean --learning_rate? See --help"),
        ("--nosuchthing", "There is no flag --nosuchthing"),
        ("--qqqqqqqq", "There is no flag --qqqqqqqq. See --help"),
    ):
        assert here(TRAIN, training_flags(work, steps=2) + [word]) == 2
        assert told in capsys.readouterr().err
    assert not (work / "out").exists()


def test_a_dash_in_a_flag_is_an_underscore(work, capsys):
    flags = [flag for flag in training_flags(work, steps=2) if "output_dir" not in flag]
    assert here(TRAIN, [flag.replace("_", "-", 1) for flag in flags] + ["--no-save"]) == 0
    assert "nothing of this run will be written" in capsys.readouterr().err


def test_spellings_in_circulation_are_read(tmp_path):
    (tmp_path / "old.flags").write_text("--no-save\n--tokenizer-dir=tokenizer\n")
    words = "--cpu --tqdm-off --small --input-file a --out-dir=b-c --model-path=d"
    words = words.split() + ["--tensorboard-dir=e", "--flagfile={}".format(tmp_path / "old.flags")]
    with flagsaver.flagsaver():
        assert parse(["train"] + words) == []
        found = albert_flags.flag_values()
    expected = dict(use_gpu=False, tqdm_off=True, small=0.1, input_file="a", output_dir="b-c")
    expected.update(init_checkpoint="d", tensorboard_dir="e", no_save=True)
    expected.update(spm_model_file="tokenizer")
    assert {name: found[name] for name in expected} == expected
    assert "out_dir" not in found  # one name in flags.txt
    with flagsaver.flagsaver():
        parse(["train", "--small", "0.3"])
        assert albert_flags.FLAGS.small == 0.3


def test_no_save_writes_nothing(work, capsys, monkeypatch):
    monkeypatch.chdir(work)
    before = sorted(os.listdir(str(work)))
    flags = [flag for flag in training_flags(work, steps=2) if "output_dir" not in flag]
    assert here(TRAIN, flags + ["--no_save"]) == 0
    assert "nothing of this run will be written" in capsys.readouterr().err
    assert sorted(os.listdir(str(work))) == sorted(before + ["train.tfrecord.index.npy"])


def test_a_run_without_a_directory_gets_one_with_its_date(work, capsys, monkeypatch):
    monkeypatch.chdir(work)
    flags = [flag for flag in training_flags(work, steps=2, small=0.1) if "output_dir" not in flag]
    assert here(TRAIN, flags) == 0
    assert "through 9 examples" in capsys.readouterr().err
    (name,) = os.listdir(str(work / "runs"))
    assert re.match(r"pretrain-\d{8}_\d{6}$", name)


def mistakes(work):
    (work / "empty.tfrecord").write_bytes(b"")
    data = (work / "train.tfrecord").read_bytes()
    (work / "cut.tfrecord").write_bytes(data[:-9])
    (work / "typo.json").write_text(json.dumps(dict(SIZES, hiden_act="gelu")))
    (work / "fewer.json").write_text(json.dumps(dict(SIZES, vocab_size=9)))
    (work / "file").write_text("")
    other = work / "other"
    other.mkdir()
    (other / "albert_config.json").write_text(
        json.dumps(dict(SIZES, layout="google", num_hidden_layers=7))
    )
    return [
        (dict(input_file=work / "none.tfrecord"), "--input_file=.*none.tfrecord matches no file"),
        (dict(input_file=work / "empty.tfrecord"), "holds no records"),
        (dict(input_file=work / "cut.tfrecord"), "cut.tfrecord is damaged at byte offset"),
        (dict(bert_config_file=work / "typo.json"), "unknown key 'hiden_act'.*'hidden_act'"),
        (dict(bert_config_file=work / "fewer.json"), "the config's vocab_size is 9"),
        (dict(train_batch_size=100, num_gpu_cores=3), "try --train_batch_size=99 instead"),
        (dict(output_dir=other), "run of another model: num_hidden_layers is 7 there and 2 now"),
        (dict(output_dir=work / "file" / "out"), "Cannot write to --output_dir="),
        (dict(max_seq_length=9), "length 17, wanted 9"),
        (dict(learning_rate="fast"), "learning_rate"),
        (dict(optimizer="lamp"), "optimizer"),
        (dict(num_warmup_steps=50), "num_warmup_steps must be between 0 and num_train_steps=40"),
        (dict(exclude_from_weight_decay="layer_norm"), "'layer_norm' matches no parameter"),
        (dict(init_checkpoint=work / "no.ckpt"), "No checkpoint .*no.ckpt.index"),
        (dict(model="base"), "Pass one of"),
        (dict(export_dir=work / "served", no_save=True), "leave out --no_save"),
        (dict(export_dir=other), "--export_dir=.* is not empty"),
        (dict(reduction="nccl"), "needs a GPU of its own"),
        (dict(do_eval=True, no_save=True), "--do_eval takes .* leave out --no_save"),
        (dict(log_steps=0), "--log_steps must be above 0. Received 0"),
        (dict(random_seed=-1), "--random_seed must be between 0 and 4294967295. Received -1"),
        (dict(adam_beta1=1.5), "--adam_beta1 must be in 0 <= decay < 1. Received 1.5"),
        (dict(small=2), "--small must be in 0 < share <= 1. Received 2.0"),
        (dict(patience=3), "--patience=3 counts evaluations of --eval_file. Pass one"),
        (dict(checkpoint="model.ckpt-7"), "To train from it: --init_checkpoint=model.ckpt-7"),
    ]


@pytest.mark.parametrize("number", range(25))
def test_a_mistake_is_one_sentence_and_exit_code_2(work, number, capsys):
    change, message = mistakes(work)[number]
    assert here(TRAIN, training_flags(work, **change)) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ERROR: ")]
    assert len(errors) == 1 and re.search(message, errors[0]), errors


def test_a_switch_with_its_value_after_a_space_is_refused(work, capsys):
    assert here(TRAIN, training_flags(work) + ["--use_gpu", "False"]) == 2
    assert "ERROR: 'False' is no flag and would do nothing" in capsys.readouterr().err
    assert not (work / "out").exists()


def test_a_finished_run_can_be_exported_by_the_same_command(work, capsys, monkeypatch):
    """Also when what it began from is gone; a failed export leaves nothing in its way."""
    config = dict(SIZES, layout="brightmart", final_layer_norm=True)
    (work / "small.json").write_text(json.dumps(config))
    first = CheckpointManager(str(work), 1).save(
        {n: tf.Variable(v) for n, v in initial_values(ModelConfig.from_dict(config), 1).items()}, 0
    )
    flags = training_flags(work, 2, init_checkpoint=first)

    assert here(TRAIN, flags) == 0
    for path in glob.glob(first + ".*"):
        os.remove(path)
    export = "--export_dir={}".format(work / "served" / "1")
    with monkeypatch.context() as patched:
        patched.setattr(pretrain, "write_pretraining_model", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            here(TRAIN, flags + [export])
    assert not (work / "served").exists()
    assert here(TRAIN, flags + [export]) == 0
    assert (work / "served" / "1" / "saved_model.pb").is_file()
    capsys.readouterr()
    assert here(TRAIN, flags + [export]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ERROR")]
    assert len(errors) == 1 and "is not empty. Choose a new folder" in errors[0]
    assert saved_steps(str(work / "out")) == [2]


def test_validation_writes_its_results_into_a_new_folder(work):
    assert here(TRAIN, training_flags(work, 2)) == 0
    more = {"output_dir": work / "new", "checkpoint": work / "out" / "model.ckpt-2"}
    flags = training_flags(work, **more)
    assert here(VALIDATE, flags) == 0
    assert read_results(str(work / "new"))["global_step"] == 2


def test_a_run_is_evaluated_as_the_model_it_is(work, capsys):
    """A config that computes something else gives no number, and none is needed."""
    assert here(TRAIN, training_flags(work, 2)) == 0
    flags = ["--input_file={}".format(work / "held_out.tfrecord"), "--use_gpu=False"]
    flags.append("--output_dir={}".format(work / "out"))
    assert here(VALIDATE, flags) == 0
    first = (work / "out" / "eval_results.txt").read_text()
    assert here(VALIDATE, flags + ["--albert_config_file={}".format(work / "small.json")]) == 0
    assert (work / "out" / "eval_results.txt").read_text() == first
    other = flags + ["--albert_config_file={}".format(work / "other.json")]
    for change in {"hidden_act": "relu"}, {"num_attention_heads": 7}, {"num_hidden_layers": 3}:
        (work / "other.json").write_text(json.dumps(dict(SIZES, layout="google", **change)))
        assert here(VALIDATE, other) == 2
        assert "says that {} is".format(*change) in capsys.readouterr().err


def test_an_evaluation_that_a_break_took_is_made_up_for(work):
    """Killed between the checkpoint of a step and its evaluation, also of the last step."""
    flags = training_flags(work, 10, eval_file=work / "held_out.tfrecord", eval_steps=5)
    assert here(TRAIN, flags) == 0
    whole = [line for line in read_metrics(str(work / "out")) if line["kind"] == "eval"]
    path = work / "out" / "metrics.jsonl"
    kept = [
        line for line in path.read_text().splitlines() if '"kind": "eval", "step": 10' not in line
    ]
    path.write_text("\n".join(kept) + "\n")
    shutil.rmtree(str(work / "out" / "best"))
    assert here(TRAIN, flags) == 0
    again = [line for line in read_metrics(str(work / "out")) if line["kind"] == "eval"]
    assert [(line["step"], line["loss"]) for line in again] == [
        (line["step"], line["loss"]) for line in whole
    ]
    assert read_results(str(work / "out" / "best"))["global_step"] == 10


def test_optimizer_and_step_are_built_once(work, monkeypatch):
    built = []
    for name in ("make_optimizer", "make_train_step"):
        plain = getattr(learner, name)
        count = lambda *how, name=name, plain=plain: built.append(name) or plain(*how)  # noqa: E731
        monkeypatch.setattr(learner, name, count)
    assert here(TRAIN, training_flags(work, 2)) == 0
    assert built == ["make_optimizer", "make_train_step"]


def test_means_of_nothing_are_no_loss():
    assert Totals().means() == {}
    totals = Totals()
    totals.add({"masked_lm_loss": WeightedSum(0.0, 0.0)})
    assert totals.means() == {}


def test_an_evaluation_that_is_no_number_is_never_the_best(work, monkeypatch):
    losses = iter([5.0, float("nan"), 6.0])
    monkeypatch.setattr(evaluation, "evaluate", lambda *_: {"loss": next(losses)})
    flags = training_flags(work, 3, eval_file=work / "held_out.tfrecord", eval_steps=1)
    assert here(TRAIN, flags) == 0
    assert read_results(str(work / "out" / "best")) == {"global_step": 1.0, "loss": 5.0}


def test_a_run_ends_where_evaluations_get_no_better_and_knows_it_when_resumed(
    work, monkeypatch, capsys
):
    losses = iter([5.0, float("nan"), 6.0, 4.0, 4.5, 4.5])
    monkeypatch.setattr(evaluation, "evaluate", lambda *_: {"loss": next(losses)})

    def train(patience):
        files = dict(eval_file=work / "held_out.tfrecord", tensorboard_dir=work / "events")
        flags = training_flags(work, 9, eval_steps=1, patience=patience, **files)
        assert here(TRAIN, flags) == 0
        return int(latest_checkpoint(str(work / "out")).split("-")[-1])

    assert train(2) == 3
    said = "Stopped at step 3: 2 evaluations gave no better loss than 5.000 nats of step 1"
    assert said in capsys.readouterr().err
    assert train(2) == 3
    assert said in capsys.readouterr().err
    monkeypatch.setattr(evaluation, "evaluate", lambda *_: {"loss": next(losses, 4.5)})
    assert train(3) == 7
    assert read_results(str(work / "out" / "best"))["global_step"] == 4


def test_two_runs_do_not_share_a_directory(work, capsys):
    (work / "out").mkdir()
    with held(str(work / "out"), "--output_dir"):
        assert here(TRAIN, training_flags(work, 2)) == 2
    assert "Another process is writing to" in capsys.readouterr().err
    assert os.listdir(str(work / "out")) == [".lock"]


@pytest.mark.parametrize(
    "code,said",
    [
        (errno.ENOSPC, "The disk is full"),
        (errno.EROFS, "Not allowed"),
        (errno.EIO, "The disk fails"),
        (errno.ESTALE, "The disk fails"),
        (errno.ENOENT, None),
    ],
)
def test_a_disk_that_refuses_is_one_sentence(code, said, capsys):
    with pytest.raises(SystemExit if said else OSError) as ended, exit_on_usage_error():
        raise OSError(code, os.strerror(code), "model.ckpt-1.index")
    if said:
        assert ended.value.code == 2
        printed = capsys.readouterr().err
        assert printed.startswith("ERROR: " + said) and "model.ckpt-1.index" in printed
        assert printed.count("\n") == 1


def test_no_escape_code_reaches_the_screen_or_the_log(tmp_path):
    """In a process of its own: what pytest keeps of a log goes to other processes as UTF-8."""
    lines = (
        "import sys",
        "from absl import logging",
        "from albert.system.errors import UsageError, exit_on_usage_error",
        "from albert.system.screen import console",
        "name = 'red\\x1b[31m\\udc80.tfrecord'  # a stranger's file",
        "console.start()",
        "with console.log_file(sys.argv[1]), exit_on_usage_error():",
        "    logging.warning('No %s', name)",
        "    raise UsageError('No {}'.format(name))",
    )
    words = [sys.executable, "-c", "\n".join(lines), str(tmp_path / "log.txt")]
    done = subprocess.run(words, cwd=ROOT, stderr=subprocess.PIPE)
    seen = done.stderr.decode()
    assert done.returncode == 2
    assert seen.count("No red\\x1b[31m\\udc80.tfrecord") == 2 and "\x1b" not in seen
    assert "No red\\x1b[31m\\udc80.tfrecord" in (tmp_path / "log.txt").read_text()


def test_what_follows_two_dashes_is_no_flag():
    with flagsaver.flagsaver():
        assert parse(["predict", "a", "--", "-5 degrees", "--no_save"]) == [
            "a",
            "-5 degrees",
            "--no_save",
        ]
        assert not albert_flags.FLAGS.no_save


@pytest.mark.parametrize("flag", ["input_file", "eval_file"])
def test_a_preset_takes_the_vocabulary_of_the_records(work, flag):
    write_manifest(
        str(work / "train.tfrecord.manifest.json"), manifest(vocab_size=SIZES["vocab_size"])
    )
    with flagsaver.flagsaver():
        parse(["train", "--{}={}".format(flag, work / "train.tfrecord"), "--model=nano"])
        assert albert_flags.model_config().vocab_size == SIZES["vocab_size"]


RECIPES = sorted(glob.glob(os.path.join(CONFIG_DIRECTORY, "recipes", "*.flags")))


@pytest.mark.parametrize("path", RECIPES, ids=os.path.basename)
def test_a_recipe_is_a_run_at_a_workable_rate(path, capfd):
    with flagsaver.flagsaver():
        parse(["train", "--flagfile=" + os.path.basename(path)])
        assert "--" not in capfd.readouterr().err
        flags = albert_flags.FLAGS
        assert not flags.train_batch_size % (
            max(1, flags.num_gpu_cores) * flags.gradient_accumulation_steps
        )
        if flags.learning_rate != "auto":
            model = ModelConfig.from_json_file(flags.model or "nano")
            suggested = suggested_rate(
                flags.optimizer, model, flags.train_batch_size, flags.num_train_steps
            )
            assert rate_warning(flags.learning_rate, suggested) is None


def test_a_run_on_the_plateau_ends_when_told_to(work, capsys):
    flags = training_flags(work, 1000, learning_rate=1e-9, log_steps=5, stop_on_plateau=0.001)
    assert here(TRAIN, flags) == 3
    assert "(--stop_on_plateau)" in capsys.readouterr().err
    assert latest_checkpoint(str(work / "out"))
    assert albert("diagnose", work / "out") == 1
    assert "rate_too_low" in capsys.readouterr().out
    assert albert("diagnose", work / "out", "--json") == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert "rate_too_low" in [finding["name"] for finding in found]
    assert albert("diagnose", work) == 2
    assert "not the folder of a run" in capsys.readouterr().err


@pytest.mark.parametrize("bad,restored", [(12, 10), (3, 0)], ids=["checkpoint", "start"])
def test_gradients_that_stay_bad_roll_back_and_then_end_the_run(
    work, monkeypatch, capsys, bad, restored
):
    """From step `bad` on: two returns to the last checkpoint or the start, then exit code 2."""
    rates, bests, plain = [], [], learner.make_train_step

    def failing(objective, state, optimizer, schedule, *how):
        rates.append(float(schedule(tf.constant(2))))  # where warm-up ends
        bests.append(latest_checkpoint(str(work / "out" / "best")))
        step = plain(objective, state, optimizer, schedule, *how)

        def run_step(batch, wish):
            if int(state.global_step.numpy()) < bad:
                return step(batch, wish)
            state.skipped_steps.assign_add(1)
            return not_applied()

        return run_step

    monkeypatch.setattr(learner, "make_train_step", failing)
    flags = training_flags(
        work, 60, log_steps=1, eval_file=work / "held_out.tfrecord", eval_steps=11
    )
    assert here(TRAIN, flags) == 2
    said = capsys.readouterr().err
    assert "after 2 rollbacks (--max_rollbacks)" in said
    assert json.loads((work / "out" / "rollbacks.json").read_text()) == {
        "count": 2,
        "undone": 2 * (bad - restored),
        "learning_rate": 1e-3,
    }
    assert rates == pytest.approx([rates[0], rates[0] / 2, rates[0] / 4])
    assert bests == [None] * 3  # that of step 11 was undone
    tensors = read_tensors(latest_checkpoint(str(work / "out")))
    assert int(tensors["global_step"]) == restored
    assert int(tensors["skipped_steps"]) == 2 * (bad - restored + 20)
    if not restored:
        config = ModelConfig.from_json_file(str(work / "small.json"))
        for name, value in initial_values(config, albert_flags.FLAGS.random_seed).items():
            np.testing.assert_array_equal(tensors[name], value)
            assert not tensors[name + "/adam_m"].any() and not tensors[name + "/adam_v"].any()
    lines = read_metrics(str(work / "out"))
    steps = [line["step"] for line in lines if line["kind"] == "train"]
    assert steps == list(range(1, bad + 1))  # each once: the undone ones are gone


@pytest.mark.parametrize("script", [TRAIN, VALIDATE])
def test_help_shows_the_flags_and_does_nothing(script, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert here(script, ["--help"]) == 0
    printed = capsys.readouterr().out
    assert "--input_file=" in printed and "--num_gpu_cores" in printed
    assert "\nThe records:\n  --input_file=FILE" in printed
    assert "\n  --max_seq_length=N        Length of the records; default: as they are.\n" in printed
    listed = printed[printed.index("The model:") :]
    shown = re.findall(r"^  --(?:\[no\])?(\w+)", listed, re.MULTILINE)
    assert len(shown) == len(set(shown))
    if script == TRAIN:
        assert "  --log_steps=N             Updates between log lines. [100]\n" in printed
        assert set(re.findall(r"--(?:\[no\])?(\w+)", printed)) >= set(albert_flags.flag_values())
    assert not list(tmp_path.iterdir())
