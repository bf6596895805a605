"""Text in, answers out: the ids of the records, masked words, order, vectors."""

import gzip
import io
import json
import os
import re
import sys
import threading

import numpy as np
import pytest
from conftest import SIZES, encoded
from malay import PIECES, model, sentences
from test_import_export import albert, small_run

from albert.compat import tf
from albert.model.albert import pretraining_output
from albert.model.config import ModelConfig
from albert.model.initial import initial_values
from albert.system.errors import UsageError
from albert.tasks.folder import FineTuned
from albert.tasks.inference.fine_tuned import TaskModel
from albert.tasks.inference.lines import lines_of_file, lines_of_pipe
from albert.tasks.inference.load import load as load_model
from albert.tasks.inference.pretrained import PretrainedModel
from albert.tasks.model import initial_weights
from albert.tasks.task import KINDS, Task
from albert.text.encoder import TextEncoder, padded_batch
from albert.text.tokenization import TextOptions, Tokenization
from albert.text.vocabulary import load
from albert.text.words import split_words
from preprocess.records.instances import encoding
from preprocess.sources.blocks import TextBlock


def predict(tmp_path, capsys, *arguments):
    capsys.readouterr()
    code = albert(
        "predict", "--output_dir={}".format(tmp_path / "run"), "--use_gpu=False", *arguments
    )
    printed = capsys.readouterr()
    return code, [json.loads(line) for line in printed.out.splitlines()], printed.err


@pytest.mark.parametrize("lower_case, keep_accents", [(False, True), (True, False)])
def test_ids_are_those_of_the_records(lower_case, keep_accents):
    lines = [line for line in sentences(300, seed=5) if line.strip()]
    block = TextBlock(0, 0, "x", 0, "\n".join(lines).encode("utf-8"), 0)
    how = {"lower": lower_case, "keep_accents": keep_accents, "seed": 0, "longest": 10**6}
    found = encoding.encode_block(block, load(model()), **how)
    records = np.split(found.ids, found.sentence_offsets[1:-1])
    encoder = TextEncoder(
        Tokenization(model(), TextOptions(lower_case, keep_accents)), ModelConfig(vocab_size=PIECES)
    )
    assert [encoder.pieces(line) for line in lines] == [part.tolist() for part in records]


def test_masks_stand_for_pieces():
    encoder = TextEncoder(Tokenization(model()), ModelConfig(vocab_size=PIECES))
    mask = encoder.vocabulary.mask
    assert encoder.masked_pieces("saya [MASK] nasi") == (
        encoder.pieces("saya") + [mask] + encoder.pieces("nasi")
    )
    joined = encoder.masked_pieces("[MASK]an")
    assert joined[0] == mask and len(joined) > 1
    assert not encoder.vocabulary.pieces[joined[1]].startswith("\u2581")


def test_pairs_lose_the_end_of_the_longer_text():
    encoder = TextEncoder(Tokenization(model()), ModelConfig(vocab_size=PIECES))
    v = encoder.vocabulary
    found = encoder.pair([9] * 3, [8] * 9, 10)
    assert found.ids.tolist() == [v.cls, 9, 9, 9, v.sep, 8, 8, 8, 8, v.sep]
    assert found.segments.tolist() == [0] * 5 + [1] * 5


@pytest.mark.parametrize(
    "words",
    [
        "Di K.L. , jalan-jalan !",
        "9.000 orang , 6,3 % , RM12.50 , 3.5kg , 09.00-17.00 , 1/2/2020 .",
        "Prof. Dr. J. K. Ali , S.Pd. , dari Acme Sdn. Bhd. dan P&G",
        "No. 7 ; katanya no .",
        "vitamin C .",
        "kita . dan ... lalu -- it's `` ya ''",
    ],
)
def test_numbers_abbreviations_and_marks_are_words(words):
    joined = words.replace(" ,", ",").replace(" %", "%").replace("kita . dan", "kita.dan")
    assert split_words(joined) == words.split()
    assert split_words(words) == words.split()


def task_model(kind, max_seq_length=12):
    config = ModelConfig.from_dict(dict(SIZES, layout="google", vocab_size=PIECES))
    task = Task(kind, ("B-X", "O"), max_seq_length, False, True)
    weights = initial_weights(config, task, {}, 0)
    weights = {name: value * (20 if "output" in name else 1) for name, value in weights.items()}
    tuned = FineTuned("", config, task, weights, 1, Tokenization(model()))
    return TaskModel(tuned, "/device:CPU:0", 8)


def test_words_may_come_parted_already():
    words = ["ya!", "Kuala Lumpur", "6,3"]
    tagger = task_model("tagging", 41)
    given, spelled = tagger.predict([{"words": words}, {"text": "ya ! rumah"}])
    assert given["text"] == "ya! Kuala Lumpur 6,3" and given["words"] == words
    assert len(given["tags"]) == 3 and spelled["words"] == ["ya", "!", "rumah"]
    assert spelled == tagger.predict(["ya ! rumah"])[0]
    (answer,) = task_model("entities", 41).predict([{"words": words}])
    for entity in answer["entities"]:
        assert answer["text"][entity["start"] : entity["end"]] == entity["text"]
    for wrong in ({"words": "ya"}, {"words": ["ya", " "]}, {"words": [1]}, {"word": ["ya"]}, 7):
        with pytest.raises(UsageError, match="Give words as a list|must be of type str"):
            tagger.predict([wrong])


def test_long_texts_are_tagged_whole_or_cut_with_a_mark():
    long, short = "saya makan nasi " * 20, "saya makan"
    (answer,) = task_model("tagging").predict([long])
    assert len(answer["tags"]) == len(answer["words"]) == 60 and "truncated" not in answer
    found = task_model("classification").predict([long, short])
    assert [answer.get("truncated") for answer in found] == [True, None]
    config = ModelConfig.from_dict(dict(SIZES, layout="google", vocab_size=PIECES))
    how = Tokenization(model())
    pretrained = PretrainedModel(config, initial_values(config, 3), how, "/device:CPU:0", 8, 12)
    for found in (
        pretrained.fill_mask(["[MASK] " + long, "[MASK]"], 1),
        pretrained.embed([long, short]),
        pretrained.sentence_order([(short, long), ("saya", "ya")]),
    ):
        assert [answer.get("truncated") for answer in found] == [True, None]


def answers_of_the_model(config, texts, masked):
    encoder = TextEncoder(Tokenization(model()), ModelConfig(vocab_size=PIECES))
    rows = [encoder.single(encoder.masked_pieces(text), 41) for text in texts]
    batch = padded_batch(rows, 41)
    batch["masked_lm_positions"] = np.array(masked, np.int32)
    tensors = {name: tf.constant(value) for name, value in initial_values(config, 3).items()}
    output = pretraining_output(config, tensors, {k: tf.constant(v) for k, v in batch.items()})
    return rows, output, encoded(config, tensors, batch), encoder


@pytest.mark.parametrize("layout", ["google", "brightmart"])
def test_masked_words_are_the_models_own(layout, tmp_path, capsys):
    config = small_run(tmp_path / "run", layout)
    texts = ["saya makan [MASK] di rumah", "[MASK]", "ibu dan [MASK] pergi ke [MASK] ."]
    code, found, _ = predict(tmp_path, capsys, "--task=fill-mask", "--top_k=3", *texts)
    assert code == 0 and [answer["text"] for answer in found] == texts
    assert [len(answer["masks"]) for answer in found] == [1, 1, 2]
    rows, _, _, encoder = answers_of_the_model(config, texts, [[0, 0]] * 3)
    places = [np.flatnonzero(row.ids == encoder.vocabulary.mask) for row in rows]
    asked = [[place[0], place[-1]] for place in places]
    _, output, _, _ = answers_of_the_model(config, texts, asked)
    shares = tf.nn.softmax(output.masked_lm_logits).numpy()
    allowed = encoder.vocabulary.replacements
    _, (every,), _ = predict(tmp_path, capsys, "--task=fill-mask", "--top_k=1000000", "[MASK]")
    assert len(every["masks"][0]) == len(allowed)
    for row, answer in enumerate(found):
        for mask, likeliest in zip((0, -1), (answer["masks"][0], answer["masks"][-1])):
            best = allowed[np.argsort(-shares[row, mask][allowed], kind="stable")[:3]]
            assert [p["piece"] for p in likeliest] == [encoder.vocabulary.pieces[i] for i in best]
            expected = [shares[row, mask, i] for i in best]
            assert [p["probability"] for p in likeliest] == pytest.approx(expected, abs=2e-6)


def test_vectors_and_order(tmp_path, capsys):
    config = small_run(tmp_path / "run", "google")
    texts = ["saya makan nasi", "hujan"]
    rows, output, hidden, _ = answers_of_the_model(config, texts, [[0]] * 2)
    for pooling, expected in (
        ("mean", [s[: len(r.ids)].mean(0) for r, s in zip(rows, hidden.sequence.numpy())]),
        ("pooled", hidden.pooled.numpy()),
    ):
        _, found, _ = predict(tmp_path, capsys, "--task=embed", "--pooling=" + pooling, *texts)
        np.testing.assert_allclose([a["embedding"] for a in found], expected, atol=2e-6)
    pair = "saya makan\tkami minum"
    code, found, _ = predict(tmp_path, capsys, "--task=sentence-order", pair)
    assert code == 0 and 0.0 < found[0]["in_order"] < 1.0
    assert (found[0]["first"], found[0]["second"]) == ("saya makan", "kami minum")


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["--task=fill-mask", "--top_k=0", "saya"], "--top_k"),
        (["--task=tagging", "saya"], "has no task.json"),
        (["saya"], "Pass --task, one of: fill-mask"),
        (["--task=embed", "--input_file=/no/such"], "does not exist"),
        (["--task=embed", "--input_file=/"], "Cannot read /"),
    ],
)
def test_mistakes_get_a_sentence(arguments, message, tmp_path, capsys):
    small_run(tmp_path / "run", "google")
    code, found, errors = predict(tmp_path, capsys, *arguments)
    assert code == 2 and not found and message in errors


def test_lines_come_as_they_are_written_and_more_together_where_that_is_quick():
    reading, writing = os.pipe()
    chunks = lines_of_pipe(reading, 2)
    os.write(writing, b"one\ntw")
    assert next(chunks) == [b"one"]
    os.write(writing, b"o\n")
    assert next(chunks) == [b"two"]
    os.write(writing, b"x\n" * 30 + b"end")
    os.close(writing)
    rest = list(chunks)
    assert sum(rest, []) == [b"x"] * 30 + [b"end"]
    assert [len(chunk) for chunk in rest] == [8, 16, 7]


def test_lines_of_compressed_files(tmp_path):
    path = str(tmp_path / "x.gz")
    with gzip.open(path, "wb") as handle:
        handle.write(b"a\nb")
    assert list(lines_of_file(path, 8)) == [[b"a", b"b"]]
    with open(path, "r+b") as handle:
        handle.truncate(20)
    with pytest.raises(UsageError, match="Cannot read"):
        list(lines_of_file(path, 8))


class Reader(io.StringIO):
    """A stdout; whoever reads it acts on each answer."""

    encoding = "ascii"

    def __init__(self, act):
        super().__init__()
        self.act = act

    def flush(self):
        self.act(self.getvalue().count("\n"))


def test_a_line_is_answered_before_the_next_is_written(tmp_path, monkeypatch):
    small_run(tmp_path / "run", "google")
    lines = [b"saya [MASK]\n", b"saya\n", b"\xff\n", b'{"text": "\xc3\xa9 [MASK]"}\n', b'{"t']
    reading, writing = os.pipe()
    late = threading.Timer(60, os.close, [writing])  # a test that fails ends, too
    late.start()

    def act(answered):
        if lines:
            os.write(writing, lines.pop(0))
            if not lines and not late.finished.is_set():
                late.cancel()
                os.close(writing)

    act(0)
    monkeypatch.setattr("sys.stdin", open(reading))
    monkeypatch.setattr("sys.stdout", Reader(act))
    assert albert("predict", "--output_dir={}".format(tmp_path / "run"), "--task=fill-mask") == 1
    found = [json.loads(line) for line in sys.stdout.getvalue().splitlines()]
    assert not lines
    assert [answer["text"] for answer in found] == [
        "saya [MASK]",
        "saya",
        "\ufffd",
        "\u00e9 [MASK]",
        '{"t',
    ]
    assert [len(answer.get("masks", [])) for answer in found] == [1, 0, 0, 1, 0]
    for answer, told in zip(found[1:3] + found[4:], ("No [MASK]", "not UTF-8", "JSON object")):
        assert told in answer["error"]


def test_an_answer_that_is_no_number_is_an_error(tmp_path, capsys, monkeypatch):
    config = small_run(tmp_path / "run", "google")
    plain = initial_values(config, 3)
    weights = {name: value + np.nan for name, value in plain.items()}
    how = Tokenization(model())
    broken = PretrainedModel(config, weights, how, "/device:CPU:0", 8, 41)
    monkeypatch.setattr("albert.tasks.inference.load.load", lambda *_, **__: broken)
    code, found, _ = predict(tmp_path, capsys, "--task=embed", "saya", "awak")
    assert code == 1 and [set(answer) for answer in found] == [{"text", "error"}] * 2


def test_vectors_are_one_array_or_lines_in_a_file(tmp_path, capsys):
    small_run(tmp_path / "run", "google")
    run = load_model(tmp_path / "run", max_seq_length=9)
    path = tmp_path / "out" / "x"
    asked = ["saya makan " * 9, "ya", '{"word": 1}']
    more = ["--task=embed", "--max_seq_length=9", "--output_file={}".format(path), *asked]
    code, printed, told = predict(tmp_path, capsys, "--format=npy", *more)
    assert code == 1 and not printed
    found = np.load(str(path))
    assert found.dtype == np.float32 and np.isnan(found[2]).all()
    expected = [answer["embedding"] for answer in run.embed(asked[:2], as_arrays=True)]
    np.testing.assert_allclose(found[:2], expected, rtol=1e-5)
    assert "1 of 3 texts were cut" in told and "Line 3: Texts must be" in told
    code, printed, _ = predict(tmp_path, capsys, *more)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert not printed and [set(line) for line in lines] == [
        {"text", "embedding", "truncated"},
        {"text", "embedding"},
        {"text", "error"},
    ]
    np.testing.assert_allclose([line["embedding"] for line in lines[:2]], expected, atol=1e-6)
    assert [name.name for name in path.parent.iterdir()] == ["x"]
    code, _, told = predict(tmp_path, capsys, *more[:2], "--output_file=" + str(tmp_path), "ya")
    assert code == 2 and "is a folder" in told
    code, _, told = predict(tmp_path, capsys, "--task=fill-mask", "--format=npy", "[MASK]")
    assert code == 2 and "--format=npy is for vectors" in told


def test_pairs_are_written_with_a_tab_or_as_objects(tmp_path, capsys):
    small_run(tmp_path / "run", "google")
    lines = ["saya\tawak", '{"first": "saya", "second": "awak"}', "saya", '{"first": "saya"}']
    code, found, _ = predict(tmp_path, capsys, "--task=sentence-order", *lines)
    assert code == 1 and found[0] == found[1] and found[0]["second"] == "awak"
    assert "two texts with a tab" in found[2]["error"] and "Received None" in found[3]["error"]


def test_a_machine_without_a_gpu_is_told_with_flags_that_the_command_has(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("albert.system.devices.physical_gpus", lambda: [])
    small_run(tmp_path / "run", "google")
    assert albert("predict", "--help") == 0
    known = set(re.findall(r"--(?:\[no\])?(\w+)", capsys.readouterr().out))
    run = "--output_dir={}".format(tmp_path / "run")
    assert albert("predict", run, "--task=embed", "--use_gpu=True", "saya") == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("ERROR: ")]
    assert "--use_gpu=False" in line
    assert set(re.findall(r"--(\w+)", line)) <= known


def test_no_texts_have_no_answers(tmp_path):
    config = small_run(tmp_path / "run", "google")
    how = Tokenization(model())
    weights = initial_values(config, 3)
    pretrained = PretrainedModel(config, weights, how, "/device:CPU:0", 8, 41)
    assert pretrained.fill_mask([], 5) == []
    assert pretrained.sentence_order([]) == []
    assert pretrained.embed([], "mean") == [] and pretrained.embed([], "pooled") == []
    for kind in KINDS:
        task = Task(kind, ("a", "b"), 41, False, True)
        tuned = FineTuned("", config, task, initial_weights(config, task, weights, 0), 1, how)
        assert TaskModel(tuned, "/device:CPU:0", 8).predict([]) == []
