"""Text in, answers out: the ids of the records, masked words, order, vectors."""

import json
import re

import numpy as np
import pytest
from conftest import encoded
from malay import PIECES, model, sentences
from test_import_export import albert, small_run

from albert.compat import tf
from albert.model.albert import pretraining_output
from albert.model.config import ModelConfig
from albert.model.initial import initial_values
from albert.tasks.folder import FineTuned
from albert.tasks.inference.fine_tuned import TaskModel
from albert.tasks.inference.pretrained import PretrainedModel
from albert.tasks.model import initial_weights
from albert.tasks.task import KINDS, Task
from albert.text.encoder import TextEncoder, padded_batch, split_words
from albert.text.tokenization import TextOptions, Tokenization
from albert.text.vocabulary import load
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


def test_punctuation_marks_are_words():
    assert split_words("Di K.L., jalan-jalan!") == [
        "Di",
        "K",
        ".",
        "L",
        ".",
        ",",
        "jalan-jalan",
        "!",
    ]


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
        (["--task=fill-mask", "saya"], "No [MASK] among"),
        (["--task=sentence-order", "saya"], "two texts with a tab"),
        (["--task=tagging", "saya"], "has no task.json"),
        (["saya"], "Pass --task, one of: fill-mask"),
        (["--task=embed", "--input_file=/no/such"], "does not exist"),
    ],
)
def test_mistakes_get_a_sentence(arguments, message, tmp_path, capsys):
    small_run(tmp_path / "run", "google")
    code, found, errors = predict(tmp_path, capsys, *arguments)
    assert code == 2 and not found and message in errors


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
