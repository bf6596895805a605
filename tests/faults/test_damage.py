"""Damaged and hostile files: each is read, or refused with a sentence, and nothing hangs.

ALBERT_FAULTS says how many versions of each file there are.
"""

import contextlib
import dataclasses
import functools
import gzip
import json
import os
import shutil
import signal
import sys
import tarfile

import numpy as np
import pytest
from conftest import SIZES, write_record_file
from malay import model as spm_model
from malay import sentences
from manifests import manifest
from safetensors.numpy import save_file

from albert.checkpoints.folder import Checkpoint, open_checkpoint, read_flags
from albert.checkpoints.manager import CheckpointManager, latest_checkpoint, read_tensors
from albert.checkpoints.results import format_results, read_results
from albert.compat import tf
from albert.data.source import open_data
from albert.formats.huggingface.folder import write_folder
from albert.formats.huggingface.reading import read_folder
from albert.formats.huggingface.weights import read_tensors as read_weights
from albert.formats.importing import read_source
from albert.formats.release.unpack import unpack
from albert.model.config import ModelConfig
from albert.model.initial import initial_values
from albert.records.index import load_index
from albert.records.manifest import RecordFile, read_manifest, write_manifest
from albert.system.errors import UsageError
from albert.tasks.rows.sentences import read_sentences
from albert.tasks.rows.tables import read_texts
from albert.tasks.task import Task, read_task, write_task
from albert.text.tokenization import TextOptions, Tokenization, read_text_options
from albert.text.vocabulary import load
from albert.training.diagnosis.data import DataFacts
from albert.training.diagnosis.diagnose import diagnose
from albert.training.diagnosis.facts import Settings
from albert.training.diagnosis.folder import read_facts
from albert.training.diagnosis.watch import FINDINGS_FILE
from albert.training.log.metrics import curves_figure, read_metrics
from albert.training.log.step_lines import cut_lines
from albert.training.loop.rollback import Rollbacks
from faults.damage import damaged
from preprocess.clean.clean import clean
from preprocess.clean.text import DEFAULTS
from preprocess.clean.units import CleanOptions
from preprocess.engines import Execution

VERSIONS = int(os.environ.get("ALBERT_FAULTS", "10"))
PATIENCE = 20  # seconds for one version
CONFIG = ModelConfig.from_dict(dict(SIZES, layout="google", vocab_size=300))
SETTINGS = {
    "input_file": "missing.tfrecord",
    "settings": Settings("lamb", 1e-3, 1e-3, 100, 10, True, 0, 0.01)._asdict(),
    "data": DataFacts(6.0, 0.05, 3, 0.8, 0.5, 0.0, 0.1, 9, 1.0)._asdict(),
}
LINES = [
    {
        "kind": kind,
        "step": step,
        "loss": 7.0,
        "masked_lm_loss": 6.5,
        "masked_lm_accuracy": 0.05,
        "gradient_norm": 1.0,
        "input_wait": 0.1,
        "learning_rate": 1e-3,
        "skipped_steps": 0,
    }
    for step in (5, 10)
    for kind in ("train", "eval")
]
FINDINGS = [{"name": "plateau", "sentence": "It sits.", "step": 5, "state": "appeared"}]
WORDS = "\n".join("{}\t{}".format(text, n % 2) for n, text in enumerate(sentences(9, 0)))
TREE = "1\tsaya\t_\tPRON\t_\t_\t2\tnsubj\t_\t_\n2\tmakan\t_\tVERB\t_\t_\t0\troot\t_\t_\n\n"
RAW = {
    "raw.json": json.dumps([{"text": text, "id": 1} for text in sentences(9, 1)]),
    "raw.jsonl": "".join(json.dumps({"a": {"text": text}}) + "\n" for text in sentences(9, 1)),
    "raw.html": "<html><body><p>{}</p></body></html>".format("</p><p>".join(sentences(9, 1))),
    "raw.srt": "1\n00:00:01,000 --> 00:00:02,000\n{}\n\n".format(sentences(1, 1)[0]) * 3,
    "raw.txt": "\n\n".join(sentences(9, 1)),
}


def _run_folder(folder):
    tensors = dict(initial_values(CONFIG, 3), global_step=np.int64(7))
    (folder / "albert_config.json").write_text(CONFIG.to_json())
    (folder / "eval_results.txt").write_text(format_results({"loss": 6.5, "accuracy": 0.1}, 7))
    (folder / "flags.txt").write_text("--train_batch_size=8\n--notqdm_off\n")
    (folder / "diagnosis_settings.json").write_text(json.dumps(SETTINGS))
    (folder / "rollbacks.json").write_text('{"count": 1, "undone": 2, "learning_rate": 0.001}')
    for name, lines in (("metrics.jsonl", LINES), (FINDINGS_FILE, FINDINGS)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    manager = CheckpointManager(str(folder), keep=2)
    manager.save({name: tf.Variable(value) for name, value in tensors.items()}, 7)


def _fine_tuned(folder):
    write_task(str(folder), Task("classification", ("a", "b"), 16, False, True))
    (folder / "text.json").write_text(json.dumps(TextOptions(True, True)._asdict()))


def _transformers_folder(folder):
    checkpoint = Checkpoint("run", "run/model.ckpt-7", CONFIG, initial_values(CONFIG, 3), 7, {})
    write_folder(str(folder), checkpoint, Tokenization(spm_model(), TextOptions()), {})


def _records(folder):
    path = write_record_file(folder / "train.tfrecord", 40)
    built = manifest("train.tfrecord")
    size = os.path.getsize(path)
    files = [RecordFile(built.files[0].name, 40, size, built.files[0].crc32c)]
    write_manifest(path + ".manifest.json", dataclasses.replace(built, files=files))
    load_index(path)


def _tables(folder):
    (folder / "rows.tsv").write_text("text\tlabel\n" + WORDS + "\n")
    (folder / "rows.jsonl").write_text(
        "".join(json.dumps({"text": text, "label": 1}) + "\n" for text in sentences(9, 0))
    )
    (folder / "tags.conllu").write_text(TREE * 4)
    (folder / "rows.tsv.gz").write_bytes(gzip.compress((folder / "rows.tsv").read_bytes()))


def _raw(folder):
    for name, text in RAW.items():
        (folder / name).write_text(text)


def _archive(folder):
    (folder / "model").mkdir()
    (folder / "model" / "README.md").write_text("A model.\n" * 100)
    with tarfile.open(str(folder / "model.tar.gz"), "w:gz") as archive:
        archive.add(str(folder / "model"), "model")


def _tokenizer(folder):
    shutil.copyfile(spm_model(), str(folder / "sp.model"))


def _clean(folder, name):
    rules = DEFAULTS._replace(fix_mojibake=sys.version_info >= (3, 8))  # where ftfy is installed
    options = CleanOptions(str(folder / name), str(folder / "out.txt"), cleaning=rules)
    clean(options, Execution(num_workers=1))  # here: a process takes longer than the text


def _as_the_trainer_leaves_it(folder):
    """A fine-tuned model in shards, without its SentencePiece model."""
    _transformers_folder(folder)
    values = json.loads((folder / "config.json").read_text())
    values.update(architectures=["AlbertForTokenClassification"], id2label={"0": "a", "1": "b"})
    (folder / "config.json").write_text(json.dumps(values))
    tensors = read_weights(str(folder))
    tensors["classifier.weight"] = np.zeros([2, CONFIG.hidden_size], np.float32)
    tensors["classifier.bias"] = np.zeros([2], np.float32)
    save_file(tensors, str(folder / "model-1.safetensors"))
    index = {"weight_map": {key: "model-1.safetensors" for key in tensors}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for name in ("model.safetensors", "spiece.model"):
        (folder / name).unlink()


def _batch(folder):
    config = dataclasses.replace(CONFIG, vocab_size=SIZES["vocab_size"])
    data = open_data(str(folder / "train.tfrecord"), "eval_file", config, None, None, False)
    batch = data.rows(data.dataset.size)
    return {name: value.tolist() for name, value in batch.items()}


def _rows(folder, name):
    return read_texts(str(folder / name))


def _diagnosed(folder):
    repr(read_metrics(str(folder)))
    curves_figure(read_metrics(str(folder)), (("masked_lm_loss", "nats"),))
    cut_lines(str(folder / "metrics.jsonl"), 7)
    cut_lines(str(folder / FINDINGS_FILE), 7)
    diagnose(read_facts(str(folder)))


# What is damaged: who makes its folder, whether versions stay JSON, and who reads the folder.
TARGETS = {
    "albert_config.json": (_run_folder, lambda f: open_checkpoint(str(f), None)),
    "diagnosis_settings.json": (_run_folder, _diagnosed),
    "metrics.jsonl": (_run_folder, _diagnosed),
    FINDINGS_FILE: (_run_folder, _diagnosed),
    "rollbacks.json": (_run_folder, lambda f: Rollbacks(2, 1e-3, str(f), str)),
    "eval_results.txt": (_run_folder, lambda f: read_results(str(f))),
    "flags.txt": (_run_folder, lambda f: read_flags(str(f))),
    "checkpoint": (_run_folder, lambda f: latest_checkpoint(str(f))),
    "model.ckpt-7.index": (_run_folder, lambda f: read_tensors(str(f / "model.ckpt-7"))),
    "model.ckpt-7.data-00000-of-00001": (
        _run_folder,
        lambda f: read_tensors(str(f / "model.ckpt-7")),
    ),
    "model.ckpt-7.sha256": (_run_folder, lambda f: open_checkpoint(str(f), None)),
    "task.json": (_fine_tuned, lambda f: read_task(str(f))),
    "text.json": (_fine_tuned, lambda f: read_text_options(str(f))),
    "config.json": (_transformers_folder, lambda f: read_folder(str(f))),
    "tokenizer_config.json": (_transformers_folder, lambda f: read_folder(str(f))),
    "model.safetensors": (_transformers_folder, lambda f: read_folder(str(f))),
    "tokenizer.json": (_as_the_trainer_leaves_it, lambda f: read_source(str(f))),
    "model.safetensors.index.json": (_as_the_trainer_leaves_it, lambda f: read_source(str(f))),
    "train.tfrecord.manifest.json": (_records, lambda f: read_manifest(str(f / "train.tfrecord"))),
    "train.tfrecord": (_records, _batch),
    "train.tfrecord.index.npy": (_records, _batch),
    "rows.tsv": (_tables, lambda f: _rows(f, "rows.tsv")),
    "rows.tsv.gz": (_tables, lambda f: _rows(f, "rows.tsv.gz")),
    "rows.jsonl": (_tables, lambda f: _rows(f, "rows.jsonl")),
    "tags.conllu": (_tables, lambda f: read_sentences(str(f / "tags.conllu"))),
    "model.tar.gz": (
        _archive,
        lambda f: unpack(str(f / "model.tar.gz"), None, str(f / "out"), False),
    ),
    "sp.model": (_tokenizer, lambda f: load(str(f / "sp.model"))),
}
TARGETS.update({name: (_raw, functools.partial(_clean, name=name)) for name in RAW})


@contextlib.contextmanager
def bounded():
    """Ends what hangs."""

    def hang(number, frame):
        raise AssertionError("it takes more than {} s".format(PATIENCE))

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_damaged_file_is_read_or_refused(name, tmp_path, capfd):
    make, read = TARGETS[name]
    make(tmp_path)
    path = tmp_path / name
    whole = {entry: entry.read_bytes() for entry in tmp_path.rglob("*") if entry.is_file()}
    expected = read(tmp_path)  # whole, it is read
    refused = 0
    for seed in range(VERSIONS):
        data = damaged(whole[path], seed, as_json=name.endswith((".json", ".jsonl")))
        for entry in tmp_path.rglob("*"):
            if entry.is_file() and entry not in whole:
                entry.unlink()
        shutil.rmtree(str(tmp_path / "out"), ignore_errors=True)
        for entry, content in whole.items():
            entry.write_bytes(data if entry == path else content)
        try:
            with bounded():
                found = read(tmp_path)
            # Records have checksums and a manifest: nothing else is read in silence.
            assert read is not _batch or found == expected
        except UsageError as error:
            refused += 1
            assert len(str(error)) < 2000 and "\x1b" not in str(error), seed
        except BaseException as error:
            raise AssertionError("version {} of {}: {!r}".format(seed, name, error)) from error
    print("{}: {} versions, {} refused".format(name, VERSIONS, refused))
