"""The commands export and import: every format, published folders, what is refused."""

import contextlib
import dataclasses
import glob
import json
import os
import re
import shutil

import numpy as np
import pytest
from absl import flags
from conftest import SIZES
from malay import PIECES, model
from manifests import manifest
from oracles import goldens
from safetensors.numpy import load_file, save_file

from albert.__main__ import run
from albert.checkpoints.folder import config_of_run
from albert.checkpoints.manager import latest_checkpoint, read_tensors, tensor_names, write_tensors
from albert.checkpoints.restore import initialise_from, resume
from albert.checkpoints.state import create_state
from albert.checkpoints.tokenizer import find_tokenization
from albert.compat import tf
from albert.formats.importing import ours
from albert.model.config import ModelConfig
from albert.model.initial import initial_values
from albert.optim.optimizers import OptimizerConfig, make_optimizer
from albert.optim.schedules import polynomial_with_warmup
from albert.records.manifest import ModelFile, write_manifest
from albert.system.errors import UsageError
from albert.system.files.sums import sha256_file
from albert.tasks.export_fine_tuned import write_huggingface
from albert.tasks.finetuning.training import BeginningOptions
from albert.tasks.folder import FineTuned, open_fine_tuned
from albert.tasks.inference.load import load
from albert.tasks.model import initial_weights
from albert.tasks.task import Task
from albert.text.tokenization import TextOptions, Tokenization
from albert.training.beginning import beginning_of
from albert.training.diagnosis import folder as diagnosis

LAYOUTS = ("google", "brightmart")


def albert(*arguments):
    """Runs `python -m albert` here; returns its exit code."""
    with flags_of_a_new_process(), pytest.raises(SystemExit) as exit_:
        run(["albert"] + [str(argument) for argument in arguments])
    return exit_.value.code


@contextlib.contextmanager
def flags_of_a_new_process():
    """Absl's own flags alone; those of other tests in this process are back afterwards."""
    values = flags.FLAGS.__dict__
    kept, fresh = dict(values), flags.FlagValues()
    for name in flags.FLAGS:
        if (flags.FLAGS.find_module_defining_flag(name) or "").startswith("absl"):
            fresh.__dict__["__flags"][name] = flags.FLAGS[name]
    values.update(fresh.__dict__)
    try:
        yield
    finally:
        values.clear()
        values.update(kept)


def small_run(directory, layout, step=7, slots=False, **more):
    """A folder as a training run leaves it."""
    config = ModelConfig.from_dict(dict(SIZES, layout=layout, vocab_size=PIECES, **more))
    tensors = dict(initial_values(config, 3), global_step=np.int64(step))
    if slots:
        for name in list(initial_values(config, 3)):
            tensors[name + "/adam_m"] = tensors[name] + 1
            tensors[name + "/adam_v"] = tensors[name] + 2
    directory.mkdir()
    write_tensors(str(directory / "model.ckpt-{}".format(step)), tensors)
    (directory / "albert_config.json").write_text(config.to_json())
    (directory / "eval_results.txt").write_text("global_step = 7\nloss = 6.5\n")
    shutil.copyfile(model(), str(directory / "tokenizer.model"))
    return config


def export_run(tmp_path, kind, *more):
    code = albert(
        "export",
        "--format=" + kind,
        "--output_dir={}".format(tmp_path / "run"),
        "--export_dir={}".format(tmp_path / "out"),
        *more,
    )
    assert code == 0
    return tmp_path / "out"


def imported(tmp_path, source, *more):
    code = albert("import", source, "--output_dir={}".format(tmp_path / "back"), *more)
    assert code == 0
    return read_tensors(latest_checkpoint(str(tmp_path / "back")))


def test_flags_that_a_folder_of_transformers_answers_are_refused(tmp_path, capsys):
    small_run(tmp_path / "run", "brightmart")
    out = export_run(tmp_path, "hf")
    assert albert("import", out, "--output_dir={}/x".format(tmp_path), "--ln_type=postln") == 2
    assert "leave out --albert_config_file and --ln_type" in capsys.readouterr().err


def test_help_shows_the_commands_own_flags(tmp_path, capsys):
    assert albert("export", "--help") == 0
    printed = capsys.readouterr().out
    assert "--export_dir=DIR          Where to write" in printed and "--flagfile" in printed
    assert "undefok" not in printed
    assert albert("export", "--helpfull") == 0
    assert "undefok" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["hf", "tf1"])
def test_how_text_is_prepared_travels_along(kind, tmp_path, capsys):
    small_run(tmp_path / "run", "google")
    out = export_run(tmp_path, kind, "--do_lower_case", "--nokeep_accents")
    imported(tmp_path, out)
    assert "--do_lower_case --nokeep_accents" in capsys.readouterr().out
    found = find_tokenization(str(tmp_path / "back"))
    assert found.text == TextOptions(do_lower_case=True, keep_accents=False)


def test_an_export_says_that_its_run_learned_nothing(tmp_path, monkeypatch, caplog):
    small_run(tmp_path / "run", "google")
    monkeypatch.setattr(diagnosis, "learned_nothing", lambda run: True)
    card = export_run(tmp_path, "hf") / "README.md"
    said = "predicts words no better than their frequencies do"
    assert said in caplog.text and said in card.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["hf", "tf1"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_exported_and_imported_weights_are_the_same_bytes(layout, kind, tmp_path):
    config = small_run(tmp_path / "run", layout)
    out = export_run(tmp_path, kind)
    found = imported(tmp_path, out)
    assert found.pop("global_step") == 0
    weights = initial_values(config, 3)
    assert set(found) == set(weights)
    for name, value in weights.items():
        assert found[name].tobytes() == value.tobytes(), name
    back = tmp_path / "back"
    assert ModelConfig.from_json_file(str(back / "albert_config.json")) == config
    assert (back / "tokenizer.model").read_bytes() == open(model(), "rb").read()


def test_bare_weights_are_what_the_originals_read(tmp_path):
    config = small_run(tmp_path / "run", "google", slots=True)
    out = export_run(tmp_path, "tf1")
    prefix = tf.train.latest_checkpoint(str(out))
    assert os.path.basename(prefix) == "model.ckpt-best"
    assert set(tf.train.load_checkpoint(prefix).get_variable_to_shape_map()) == set(
        initial_values(config, 3)
    )


def test_the_best_checkpoint_is_exported_and_only_its_own_numbers(tmp_path):
    small_run(tmp_path / "run", "google", step=7)
    best = small_run(tmp_path / "run" / "best", "google", step=5)
    out = export_run(tmp_path, "hf")
    assert "5 updates" in (out / "README.md").read_text(encoding="utf-8")
    assert "was not evaluated" in (out / "README.md").read_text(encoding="utf-8")
    assert best.vocab_size == PIECES
    shutil.rmtree(str(out))
    export_run(tmp_path, "hf", "--checkpoint=model.ckpt-7")
    assert "| loss | 6.5000 |" in (out / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "change, first",
    [
        ({"hidden_size": 42}, r"token_type_embeddings|embedding_hidden_mapping_in/kernel"),
        ({"num_hidden_groups": 2}, "group_1/.*: only in the config"),
        ({"max_position_embeddings": 40}, r"position_embeddings: \[41, 13\] in the checkpoint"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(change, first, tmp_path, capsys):
    config = small_run(tmp_path / "run", "google")
    path = tmp_path / "other.json"
    path.write_text(json.dumps(dict(json.loads(config.to_json()), **change)))
    code = albert(
        "export",
        "--output_dir={}".format(tmp_path / "run"),
        "--export_dir={}".format(tmp_path / "out"),
        "--albert_config_file={}".format(path),
    )
    assert code == 2
    message = capsys.readouterr().err
    assert "does not fit checkpoint" in message
    assert re.search(first, message)
    assert not (tmp_path / "out").exists()


def test_weights_that_the_config_leaves_out_are_refused(tmp_path, capsys):
    config = small_run(tmp_path / "run", "google", num_hidden_groups=2)
    values = dict(json.loads(config.to_json()), num_hidden_groups=1)
    (tmp_path / "run" / "albert_config.json").write_text(json.dumps(values))
    flags_ = ["--output_dir={}".format(tmp_path / "run"), "--export_dir=unused"]
    assert albert("export", *flags_) == 2
    assert "group_1/inner_group_0/LayerNorm/beta: only in the checkpoint" in capsys.readouterr().err


def test_the_tokenizer_is_found_by_the_records_of_the_run(tmp_path, capsys):
    small_run(tmp_path / "run", "google")
    shutil.move(str(tmp_path / "run" / "tokenizer.model"), str(tmp_path / "sp.model"))
    command = ["export", "--output_dir={}".format(tmp_path / "run")]
    assert albert(*(command + ["--export_dir={}".format(tmp_path / "none")])) == 2
    assert "--spm_model_file=tokenizer.model" in capsys.readouterr().err
    (tmp_path / "run" / "flags.txt").write_text("--input_file=train.tfrecord\n--nouse_gpu\n")
    (tmp_path / "train.tfrecord").write_bytes(b"")
    beside = str(tmp_path / "train.tfrecord.manifest.json")
    made = manifest(do_lower_case=True, keep_accents=False)
    write_manifest(beside, made)
    assert albert(*(command + ["--export_dir={}".format(tmp_path / "wrong")])) == 2
    assert "is not the tokenizer of this run's records" in capsys.readouterr().err
    right = ModelFile("sp.model", sha256_file(str(tmp_path / "sp.model")))
    write_manifest(beside, dataclasses.replace(made, model=right))
    out = export_run(tmp_path, "hf")
    settings = json.loads((out / "tokenizer_config.json").read_text())
    assert (settings["do_lower_case"], settings["keep_accents"]) == (True, False)


def published(tmp_path, layout, prefix, config_name, slots=None, drop=()):
    """A folder as the original systems published theirs."""
    golden = goldens.load(layout)
    folder = tmp_path / "albert-base"
    folder.mkdir()
    tensors = dict(golden.parameters)
    for name in list(tensors) if slots else ():
        for ending, offset in zip(slots, (1, 2)):
            tensors[name + ending] = golden.parameters[name] + offset
    if slots:
        tensors["global_step"] = np.int64(400000)
    write_tensors(str(folder / prefix), tensors)
    values = {k: v for k, v in golden.config.items() if k not in drop}
    (folder / config_name).write_text(json.dumps(values))
    shutil.copyfile(model(), str(folder / "sp10m.cased.v10.model"))
    return folder, golden


PUBLISHED = [
    ("google", "model.ckpt-best", "albert_config.json", None),
    ("google", "model.ckpt-400000", "config.json", ("/adam_m", "/adam_v")),
    ("google", "model.ckpt-400000", "BASE_config.json", ("/lamb_m", "/lamb_v")),
    ("brightmart", "model.ckpt", "albert_config_base.json", None),
    (
        "brightmart",
        "model.ckpt-400000",
        "LARGE_CONFIG.json",
        ("/AdamWeightDecayOptimizer", "/AdamWeightDecayOptimizer_1"),
    ),
]


@pytest.mark.parametrize("layout, prefix, config_name, slots", PUBLISHED)
def test_published_folders_are_imported(layout, prefix, config_name, slots, tmp_path, capsys):
    folder, golden = published(tmp_path, layout, prefix, config_name, slots)
    found = imported(tmp_path, folder)
    for name, value in golden.parameters.items():
        assert found[name].tobytes() == value.tobytes(), name
        if slots:
            np.testing.assert_array_equal(found[name + "/adam_v"], value + 2)
    assert found["global_step"] == (400000 if slots else 0)
    assert (tmp_path / "back" / "tokenizer.model").is_file()
    output = capsys.readouterr().out
    assert "--init_checkpoint=" in output
    assert ("continues it" in output) == bool(slots)


def test_how_text_was_prepared_is_not_lost(tmp_path, capsys):
    small_run(tmp_path / "run", "google")
    out = export_run(tmp_path, "hf", "--do_lower_case", "--nokeep_accents")
    imported(tmp_path, out)
    assert "with --do_lower_case --nokeep_accents\n" in capsys.readouterr().out
    shutil.rmtree(str(tmp_path / "back"))
    (out / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "AlbertTokenizer"}))
    imported(tmp_path, out)
    assert "with --do_lower_case --nokeep_accents\n" in capsys.readouterr().out
    shutil.rmtree(str(tmp_path / "back"))
    settings = {"tokenizer_class": "AlbertTokenizer", "do_lower_case": False, "keep_accents": True}
    (out / "tokenizer_config.json").write_text(json.dumps(settings))
    imported(tmp_path, out)
    assert "records" not in capsys.readouterr().out


@pytest.mark.parametrize("layout", LAYOUTS)
def test_training_goes_on_from_an_import(layout, tmp_path):
    slots = ("/AdamWeightDecayOptimizer", "/AdamWeightDecayOptimizer_1")
    folder, golden = published(tmp_path, layout, "model.ckpt-400000", "config.json", slots)
    imported(tmp_path, folder)
    config = ModelConfig.from_json_file(str(tmp_path / "back" / "albert_config.json"))
    values = initial_values(config, seed=5)
    optimizer = make_optimizer(OptimizerConfig(), polynomial_with_warmup(1.0, 9), values)
    prefix = latest_checkpoint(str(tmp_path / "back"))
    resumed = create_state(values, optimizer, "/device:CPU:0")
    resume(config, resumed, prefix)
    assert int(resumed.global_step.numpy()) == 400000
    name = "bert/pooler/dense/kernel"
    second = resumed.slots[name + "/adam_v"].numpy()
    np.testing.assert_array_equal(second, golden.parameters[name] + 2)
    started = create_state(values, optimizer, "/device:CPU:0")
    assert len(initialise_from(config, started.parameters, prefix)) == len(values)
    np.testing.assert_array_equal(started.parameters[name].numpy(), golden.parameters[name])
    assert not started.slots[name + "/adam_v"].numpy().any()


def test_the_weights_tell_the_layout_that_a_config_does_not(tmp_path):
    folder, golden = published(
        tmp_path, "brightmart", "model.ckpt", "config.json", drop=("directionality",)
    )
    imported(tmp_path, folder, "--ln_type=postln")
    config = ModelConfig.from_json_file(str(tmp_path / "back" / "albert_config.json"))
    assert (config.layout, config.ln_type) == ("brightmart", "postln")


def test_unclear_sources_are_refused(tmp_path, capsys):
    folder, _ = published(tmp_path, "google", "model.ckpt-best", "albert_config.json")

    def message(*arguments):
        assert albert("import", "--output_dir={}".format(tmp_path / "back"), *arguments) == 2
        assert not (tmp_path / "back").exists() or not os.listdir(str(tmp_path / "back"))
        return capsys.readouterr().err

    (folder / "albert_config.json").rename(folder / "albert_config_base.json")
    shutil.copyfile(str(folder / "albert_config_base.json"), str(folder / "albert_config_x.json"))
    assert "Several files could be the model config" in message(folder)
    os.remove(str(folder / "albert_config_base.json"))
    os.remove(str(folder / "albert_config_x.json"))
    assert "No model config" in message(folder)
    assert "is neither a checkpoint" in message(tmp_path / "nothing")
    assert "Pass one --source. Received one, two." in message("one", "--source=two")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").write_text("x")
    assert albert("import", folder, "--output_dir={}".format(tmp_path / "old")) == 2
    assert "is not empty" in capsys.readouterr().err


def test_numbers_that_are_none_and_foreign_tokenizers_are_refused(tmp_path, capsys):
    folder, golden = published(tmp_path, "google", "model.ckpt-best", "albert_config.json")
    name = "bert/embeddings/LayerNorm/gamma"
    tensors = dict(golden.parameters, **{name: golden.parameters[name] * np.float32(np.nan)})
    write_tensors(str(folder / "model.ckpt-best"), tensors)
    assert albert("import", folder, "--output_dir={}".format(tmp_path / "x")) == 2
    assert "hold NaN or Inf, first '{}' (16 of 16".format(name) in capsys.readouterr().err
    write_tensors(str(folder / "model.ckpt-best"), golden.parameters)
    (folder / "sp10m.cased.v10.model").write_bytes(os.urandom(3000))
    assert albert("import", folder, "--output_dir={}".format(tmp_path / "x")) == 2
    assert "is not a SentencePiece model" in capsys.readouterr().err
    assert sorted(os.listdir(str(tmp_path))) == ["albert-base"]


def test_names_of_other_programs_are_understood(tmp_path, caplog, capsys):
    folder, golden = published(tmp_path, "google", "model.ckpt-best", "albert_config.json")
    tensors = {"beta1_power": np.float32(0.5), "global_step": np.int64(9)}
    for name, value in golden.parameters.items():
        if not name.startswith("cls/"):
            tensors["module/{}:0".format(name)] = value
            tensors["module/{}/Adam:0".format(name)] = value + 1
            tensors["module/{}/Adam_1:0".format(name)] = value + 2
            tensors["module/{}/ExponentialMovingAverage".format(name)] = value + 3
            tensors["module/{}/replica_1".format(name)] = value
    write_tensors(str(folder / "model.ckpt-best"), tensors)
    found = imported(tmp_path, folder)
    for name, value in golden.parameters.items():
        if not name.startswith("cls/"):
            assert found[name].tobytes() == value.tobytes()
            np.testing.assert_array_equal(found[name + "/adam_v"], value + 2)
    assert set(golden.parameters) <= set(found) and found["global_step"] == 9
    assert "continues it" in capsys.readouterr().out
    encoder = sum(not name.startswith("cls/") for name in golden.parameters)
    said = [record.getMessage() for record in caplog.records]
    for line in (
        "{}: its names begin with 'module/', which is left out",
        "{{}}: copies of {} replicated variables are left out".format(encoder),
        "{{}}: {} moving averages beside the weights are left out".format(encoder),
    ):
        assert line.format(folder / "model.ckpt-best") in said
    new = "Not in the source, so new and untrained here: masked-word head, sentence-order head"
    assert new in said and len(said) == 4 + 1  # and where it was written


def test_no_config_is_blamed_for_missing_names(tmp_path, capsys):
    folder, golden = published(tmp_path, "google", "model.ckpt-best", "albert_config.json")
    tensors = dict(golden.parameters)
    del tensors["bert/embeddings/LayerNorm/beta"]
    write_tensors(str(folder / "model.ckpt-best"), tensors)
    command = ["import", folder, "--output_dir={}".format(tmp_path / "x")]
    assert albert(*command) == 2
    message = capsys.readouterr().err
    assert "is not whole: 1 weights differ" in message and "--albert_config_file" not in message
    two = {s + name: v for name, v in golden.parameters.items() for s in ("a/", "b/")}
    write_tensors(str(folder / "model.ckpt-best"), two)
    assert albert(*command) == 2
    assert "variables, but for example 'a/bert/emb" in capsys.readouterr().err
    write_tensors(str(folder / "model.ckpt-best"), {"layer/kernel": np.zeros(3, np.float32)})
    assert albert(*command) == 2
    assert "variables, but for example 'layer/kernel'" in capsys.readouterr().err


def fine_tuned(folder, kind, layout="google", **more):
    """A folder of transformers, of a model for a task."""
    config = ModelConfig.from_dict(dict(SIZES, layout=layout, vocab_size=PIECES))
    task = Task(kind, ("satu", "dua", "tiga"), 30, False, True)
    weights = initial_weights(config, task, {}, seed=4)
    folder.mkdir()
    write_huggingface(str(folder), FineTuned("", config, task, weights, 5, Tokenization(model())))
    values = dict(json.loads((folder / "config.json").read_text()), **more)
    (folder / "config.json").write_text(json.dumps(values))
    return task, weights


@pytest.mark.parametrize("kind", ["classification", "tagging"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_fine_tuned_folders_come_back_as_they_were(layout, kind, tmp_path, capsys):
    task, weights = fine_tuned(tmp_path / "hf", kind, layout)
    (tmp_path / "hf" / "spiece.model").unlink()  # as transformers saves it
    assert albert("import", tmp_path / "hf", "--output_dir={}".format(tmp_path / "back")) == 0
    assert "Use it: python -m albert predict" in capsys.readouterr().out
    found = open_fine_tuned(str(tmp_path / "back"))
    assert found.task == task
    for name, value in weights.items():
        assert found.weights[name].tobytes() == value.tobytes(), name
    (answer,) = load(str(tmp_path / "back"), use_gpu=False).predict(["saya makan"])
    assert set(answer) >= {"text"}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"id2label": {"0": "x", "1": "x"}}, "two or more labels"),
        ({"problem_type": "regression"}, "problem_type='regression' and 3 labels"),
        ({"problem_type": "ranking"}, "that choose labels or give one number"),
        ({"id2label": {"0": "x"}}, r"classifier.weight: \[3, 21\] in the checkpoint"),
        ({"id2label": {"0": "x", "1": "y"}}, r"classifier.weight: \[3, 21\] in the checkpoint"),
    ],
)
def test_tasks_without_an_equal_are_refused(change, message, tmp_path, capsys):
    fine_tuned(tmp_path / "hf", "classification", **change)
    assert albert("import", tmp_path / "hf", "--output_dir={}".format(tmp_path / "back")) == 2
    assert re.search(message, capsys.readouterr().err)


def test_what_import_reads_stands_for_a_checkpoint_everywhere(tmp_path, capsys, caplog):
    config = small_run(tmp_path / "run", "google")
    out = export_run(tmp_path, "hf")
    kept = ours(str(out), str(tmp_path / "elsewhere" / "run"))
    assert os.path.dirname(kept) == str(tmp_path)  # the nearest folder there is
    start = BeginningOptions(str(out)).open(str(tmp_path / "tuned"))
    assert (start.config, start.tokenization.model_file) == (config, kept + "/tokenizer.model")
    said = [record.getMessage() for record in caplog.records]
    assert "Imported {} as {}".format(out, kept) in said
    assert "{} was imported before: {}".format(out, kept) in said
    assert albert("predict", "--task=embed", "--output_dir={}".format(out), "saya makan") == 0
    assert len(json.loads(capsys.readouterr().out)["embedding"]) == config.hidden_size
    archive = tmp_path / "my.tar.gz"
    packed = ["--output_dir={}".format(tmp_path / "run"), "--archive={}".format(archive)]
    assert albert("pack", *packed) == 0
    beginning = beginning_of(str(archive), str(tmp_path / "run2"))
    assert tensor_names(beginning) == tensor_names(str(tmp_path / "run" / "model.ckpt-7"))
    model = config_of_run(None, beginning)
    assert model == config
    os.utime(str(out / "config.json"))
    again = ours(str(out))
    assert again != kept and sorted(os.listdir(again)) == sorted(os.listdir(kept))
    assert not glob.glob(str(tmp_path / "*.tmp"))
    with pytest.raises(UsageError, match="name the folder: {}".format(out)):
        ours(str(out / "model.safetensors"))
    with pytest.raises(UsageError, match="is an address; fetch it first"):
        ours("https://example.org/albert.tar.gz")


def test_a_model_without_heads_embeds_and_fills_no_masks(tmp_path, capsys):
    small_run(tmp_path / "run", "google")
    out = export_run(tmp_path, "hf")
    tensors = load_file(str(out / "model.safetensors"))
    encoder = {k: v for k, v in tensors.items() if "pooler" not in k and k.startswith("albert.")}
    save_file(encoder, str(out / "model.safetensors"))
    bare = load(str(out), use_gpu=False)
    assert len(bare.embed(["saya"])) == 1
    for ask in (
        lambda: bare.fill_mask(["saya [MASK]"]),
        lambda: bare.embed(["saya"], "pooled"),
        lambda: bare.sentence_order([("saya", "makan")]),
    ):
        with pytest.raises(UsageError, match="This model came without a"):
            ask()
    command = ["export", "--output_dir={}".format(out), "--export_dir={}".format(tmp_path / "x")]
    assert albert(*command) == 2
    assert "has no pooler and no masked-word head and no sent" in capsys.readouterr().err
    start = BeginningOptions(str(out)).open(str(tmp_path / "tuned"))
    assert "bert/pooler/dense/kernel" not in start.weights  # made new where a task needs it
    found = imported(tmp_path, out)
    new = "new and untrained here: pooler, masked-word head, sentence-order head"
    assert new in capsys.readouterr().err
    assert "bert/pooler/dense/kernel" in found and "cls/predictions/output_bias" in found
