"""Converted functions: what TensorFlow gives, or nothing is written."""

import os

import numpy as np
import pytest
from conftest import SIZES
from malay import PIECES
from malay import model as malay_model
from test_import_export import albert, small_run

from albert.checkpoints.folder import Checkpoint
from albert.compat import tf
from albert.formats.conversion import onnx, tflite
from albert.formats.conversion.check import check_converted
from albert.formats.conversion.converted import Converted
from albert.formats.saved_model import IDS, Signature, pretraining_signatures
from albert.model.config import ModelConfig
from albert.model.initial import initial_values
from albert.system.errors import UsageError
from albert.tasks.check_rows import ROWS, rows_of_fine_tuned, rows_of_run
from albert.tasks.folder import FineTuned
from albert.tasks.task import Task
from albert.text.encoder import TextEncoder
from albert.text.tokenization import Tokenization


def needs(check):
    try:
        check()
    except UsageError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    "check, write, layout, files",
    [
        (tflite.check_tflite, tflite.write_tflite, "google", ["model.tflite", "model-int8.tflite"]),
        (onnx.check_onnx, onnx.write_onnx, "brightmart", ["fill_mask.onnx", "fill_mask-int8.onnx"]),
    ],
)
def test_converted_functions_give_what_tensorflow_gives(check, write, layout, files, tmp_path):
    needs(check)
    config = ModelConfig.from_dict(dict(SIZES, layout=layout))
    weights = initial_values(config, 3)
    # One function: a conversion takes seconds.
    signatures = {"fill_mask": pretraining_signatures(config)["fill_mask"]}
    rows = rows_of_run(Checkpoint("nowhere", "", config, weights, 0, {}))
    directory = str(tmp_path)
    table = check_converted(
        directory, write(directory, weights, signatures), weights, signatures, rows
    )
    assert sorted(os.listdir(directory)) == sorted(files)
    found = [float(line.split()[5]) for line in table.splitlines()[2:]]
    assert found[0] < 1e-5 < found[1] < 0.1


def test_rows_are_those_a_fine_tuned_model_was_made_of(tmp_path, caplog):
    config = ModelConfig.from_dict(dict(SIZES, layout="google", vocab_size=PIECES))
    task = Task("classification", ("a", "b"), 30, False, True)
    tuned = FineTuned(str(tmp_path), config, task, {}, 5, Tokenization(malay_model()))
    train = tmp_path / "train.tsv"
    train.write_text("tweet\tlabel\nsaya makan nasi\ta\nsaya\tb\n")
    (tmp_path / "flags.txt").write_text(
        "--text_column=tweet\n--train_file={}\n--task=x\n".format(train)
    )
    caplog.clear()  # whoever is first in a process has made the tokenizer
    rows = rows_of_fine_tuned(tuned)
    encoder = TextEncoder(tuned.tokenization, config)
    assert rows["input_mask"].sum(axis=1).tolist() == [
        len(encoder.pieces(text)) + 2 for text in ("saya makan nasi", "saya")
    ]
    assert not caplog.text
    train.unlink()
    assert len(rows_of_fine_tuned(tuned)["input_ids"]) == ROWS
    assert "Checked on rows of random pieces, because no real ones are there." in caplog.text


@pytest.mark.parametrize("change", [0.01, np.nan])
def test_what_differs_is_refused_and_named(change, tmp_path):
    served = Signature(
        lambda _, inputs: {"logits": tf.cast(inputs["input_ids"], tf.float32)}, IDS, 9
    )
    rows = {name: np.ones((2, 3), np.int32) for name in IDS}

    def run(inputs):
        return {"logits": inputs["input_ids"] + np.float32(change)}

    (tmp_path / "x.onnx").write_bytes(b"")
    broken = [Converted("x.onnx", "fill_mask", False, run)]
    with pytest.raises(UsageError, match="x.onnx differs from TensorFlow: logits of fill_mask by"):
        check_converted(str(tmp_path), broken, {}, {"fill_mask": served}, rows)


def test_what_is_not_installed_is_named_before_the_work(tmp_path, monkeypatch, capsys):
    small_run(tmp_path / "run", "google")
    monkeypatch.setattr(onnx, "find_spec", lambda name: None)
    monkeypatch.setattr(tf.lite, "Interpreter", object)
    folders = ["--output_dir={}/run".format(tmp_path), "--export_dir={}/out".format(tmp_path)]
    for format, message in (("onnx", "albert-pretraining[onnx]"), ("tflite", "TensorFlow 2.21")):
        assert albert("export", "--format=" + format, *folders) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
