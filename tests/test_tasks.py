"""Fine-tuning: files, alignment, towers, what is learned, reports, exports."""

import gzip
import json
import os
import re
import signal

import numpy as np
import pytest
from conftest import SIZES, not_applied
from malay import PIECES, WORDS, model
from test_import_export import albert, small_run

from albert.checkpoints.manager import write_tensors
from albert.checkpoints.state import create_state
from albert.compat import tf
from albert.model.config import ModelConfig
from albert.optim.optimizers import OptimizerConfig, make_optimizer
from albert.optim.schedules import polynomial_with_warmup
from albert.system.errors import UsageError
from albert.tasks.entities import check_tags, entity_scores
from albert.tasks.finetuning.finetune import class_weights
from albert.tasks.folder import begin_folder, open_fine_tuned
from albert.tasks.inference.predictor import Predictor
from albert.tasks.model import fine_tuning, initial_weights
from albert.tasks.rows.batching import each_row, shuffled_batches
from albert.tasks.rows.encoding import features_of
from albert.tasks.rows.examples import (
    Sentence,
    Text,
    held_out,
    labels_of,
)
from albert.tasks.rows.features import make_batch
from albert.tasks.rows.sentences import read_sentences
from albert.tasks.rows.tables import read_texts
from albert.tasks.task import Task
from albert.text.encoder import TextEncoder
from albert.text.tokenization import Tokenization
from albert.training.diagnosis import folder as diagnosis
from albert.training.loop import learner
from albert.training.setup import claimed
from albert.training.step.step import StepOptions, make_train_step

GOOD, BAD = ["makan", "minum", "lemak", "buah"], ["hujan", "panas", "pejabat", "menteri"]
TAGS = {"makan": "VERB", "minum": "VERB", "di": "ADP", "ke": "ADP"}


def texts(count, seed=0):
    """Texts whose label is told by one of their words."""
    random = np.random.RandomState(seed)
    found = []
    for number in range(count):
        words = list(random.choice(["saya", "awak", "dia", "kami"], 3))
        words.insert(random.randint(4), random.choice(GOOD if number % 2 else BAD))
        found.append(Text(" ".join(words), "good" if number % 2 else "bad"))
    return found


def sentences(count, seed=0):
    """Sentences whose tags are told by their words."""
    random = np.random.RandomState(seed)
    choice = list(TAGS) + ["rumah", "diperkenalkan"]
    found = []
    for _ in range(count):
        words = tuple(random.choice(choice, random.randint(2, 6)))
        found.append(Sentence(words, tuple(TAGS.get(word, "NOUN") for word in words)))
    return found


ENTITIES = {"makan": "S-EAT", "rumah": "B-PLACE", "pejabat": "E-PLACE"}
CHUNKS = ["saya", "dia", "makan", "rumah pejabat"]


def entities(count, seed=0):
    """Sentences with entities of one word and of two."""
    random = np.random.RandomState(seed)
    found = []
    for _ in range(count):
        words = tuple(" ".join(random.choice(CHUNKS, random.randint(2, 5))).split())
        found.append(Sentence(words, tuple(ENTITIES.get(word, "O") for word in words)))
    return found


def write_examples(path, examples):
    with open(str(path), "w", encoding="utf-8") as handle:
        if isinstance(examples[0], Text):
            handle.write("text\tlabel\n")
            handle.writelines("{}\t{}\n".format(*example) for example in examples)
        for example in examples:
            if isinstance(example, Sentence):
                for number, (word, tag) in enumerate(zip(*example), 1):
                    handle.write("{}\t{}\t_\t{}\t_\t_\t_\t_\t_\t_\n".format(number, word, tag))
                handle.write("\n")
    return path


def encoder():
    return TextEncoder(Tokenization(model()), ModelConfig(vocab_size=PIECES))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "name,content",
    [
        ("x.tsv", 'text\tlabel\nkata "itu"\tb\nsaya, awak\ta\n'),
        ("x.csv", 'label,text\nb,"kata ""itu"""\na,"saya, awak"\n'),
        (
            "x.jsonl",
            '{"text": "kata \\"itu\\"", "label": "b"}\n\n{"text": "saya, awak", "label": "a"}',
        ),
    ],
)
def test_tables_of_every_kind_give_the_same_texts(tmp_path, name, content, zipped):
    path = str(tmp_path / name) + (".gz" if zipped else "")
    with gzip.open(path, "wb") if zipped else open(path, "wb") as handle:
        handle.write(b"\xef\xbb\xbf" + content.encode("utf-8"))
    found = read_texts(path)
    assert found == [Text('kata "itu"', "b"), Text("saya, awak", "a")]
    assert labels_of(found) == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    "name,content,message",
    [
        ("x.tsv", "teks\tlabel\na\tb\n", "no column 'text'.*it has: teks, label"),
        ("x.tsv", "text\tlabel\na\n", "row 2 has no label"),
        ("x.csv", "text,label\n,b\n", "row 2 has no text"),
        ("x.tsv", "text\tlabel\n", "holds no examples"),
        ("x.jsonl", "{", "line 1 is not JSON"),
        ("x.jsonl", "[1]", "line 1 is not a JSON object"),
        ("x.txt", "a", "must end in .tsv, .csv or .jsonl"),
        ("x.tsv.gz", "text\tlabel\na\tb\n", "Cannot read"),
    ],
)
def test_bad_tables_are_told(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        read_texts(str(tmp_path / name))


def test_conllu_leaves_out_ranges_and_empty_nodes(tmp_path):
    lines = ["# text = x", "1-2\tdibeli\t_\t_\t_", "1\tdi\t_\tADP\tP", "2\tbeli\t_\tVERB\tV"]
    lines += ["2.1\t-\t_\tX\tX", "", "", "1\tia\t_\tPRON\tQ"]
    path = tmp_path / "x.conllu"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert read_sentences(str(path)) == [
        Sentence(("di", "beli"), ("ADP", "VERB")),
        Sentence(("ia",), ("PRON",)),
    ]
    assert read_sentences(str(path), "xpos")[1].tags == ("Q",)
    path.write_text("1 di ADP\n", encoding="utf-8")
    with pytest.raises(UsageError, match="line 1 is not CoNLL-U"):
        read_sentences(str(path))
    path.write_text("1\tdi\t_\t_\t_\n", encoding="utf-8")
    with pytest.raises(UsageError, match="line 1 has no tag"):
        read_sentences(str(path))


def test_columns_are_named_or_numbered(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("b\tsaya\n\na\tdia\n", encoding="utf-8")
    assert read_texts(str(path), "2", "1") == [Text("saya", "b"), Text("dia", "a")]
    with pytest.raises(UsageError, match="row 1 has no column '3'; it has: 1, 2"):
        read_texts(str(path), "3", "1")
    path.write_text("id\ttweet\tsentiment\n7\tsaya\tb\n", encoding="utf-8")
    assert read_texts(str(path), "tweet", "sentiment") == [Text("saya", "b")]
    path.write_text("kata " * 100 + "\tb\n" * 2, encoding="utf-8")
    with pytest.raises(UsageError, match="--text_column=1 --label_column=2") as refused:
        read_texts(str(path))
    assert str(refused.value).count("kata") == 19


@pytest.mark.parametrize(
    "name,content,how",
    [
        ("x.txt", "# 1 of 2\ndi O\nKL B-LOC\n\n\n# B-X\n", ()),
        ("x.conll", "-DOCSTART-\t-X-\tO\n\ndi\tP\tO\nKL\tN\tB-LOC\n\n#\tS\tB-X", ("3",)),
        ("x.tsv", "di\tO\tP\nKL\tB-LOC\tN\n\n#\tB-X\tS\n", ("2",)),
        (
            "x.jsonl",
            '{"tokens": ["di", "KL"], "ner": ["O", "B-LOC"]}\n{"tokens": ["#"], "ner": ["B-X"]}',
            ("", "tokens", "ner"),
        ),
    ],
)
def test_tagged_words_of_every_kind_give_the_same_sentences(tmp_path, name, content, how):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_sentences(str(tmp_path / name), *how) == [
        Sentence(("di", "KL"), ("O", "B-LOC")),
        Sentence(("#",), ("B-X",)),
    ]


@pytest.mark.parametrize(
    "name,content,message",
    [
        ("x.txt", "di O\nKL\n", "line 2 has 1 columns where .* column 2 of 2"),
        ("x.txt", "panjang" * 90, "line 1 has 1 columns"),
        ("x.txt", "di\tO\n\tO\n", "line 2 has no word"),
        ("x.jsonl", '{"words": ["a"]}', "no 'tags'; it has: words"),
        ("x.jsonl", '{"words": ["a"], "tags": ["A", "B"]}', "one as long of their tags"),
        ("x.conllu", "di O\n", "not CoNLL-U.*must not end in .conllu"),
    ],
)
def test_bad_tagged_words_are_told(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=message) as refused:
        read_sentences(str(tmp_path / name))
    assert len(str(refused.value)) < 400 + len(str(tmp_path))


def test_a_share_is_held_out_once():
    rest, share = held_out(texts(20), 0.1, seed=3)
    assert len(share) == 2 and sorted(rest + share) == sorted(texts(20))
    with pytest.raises(UsageError, match="pass --eval_file"):
        held_out(texts(1), 0.1, seed=3)


def test_tags_stand_at_first_pieces_and_long_sentences_take_several_rows():
    task = Task("tagging", ("A", "B"), 12, False, True)
    words = ("diperkenalkan", "di", "pertandingan", "itu", "\u200b", "makan") * 2
    tags = ("A", "B") * 6
    rows = features_of(task, encoder(), [Sentence(("di",), ("B",)), Sentence(words, tags)])
    assert rows[0].labels.tolist() == [-1, 1, -1]
    spelled, seen = encoder(), []
    for number, row in enumerate(rows[1:]):
        assert row.example == 1 and len(row.encoded.ids) == len(row.labels) <= 12
        before, after = np.flatnonzero(row.labels >= 0)[[0, -1]]
        assert (before > 1) == (number > 0)  # words of the text around those that are tagged
        assert (after < len(row.labels) - 2) or row is rows[-1]
        for place in np.flatnonzero(row.labels >= 0):
            word = words[len(seen)]
            assert row.encoded.ids[place] == (spelled.pieces(word) or [spelled.vocabulary.unk])[0]
            seen.append(task.labels[row.labels[place]])
    assert tuple(seen) == tags and len(rows) > 2


def test_an_unknown_label_is_refused():
    task = Task("classification", ("a", "b"), 12, False, True)
    with pytest.raises(UsageError, match="Label 'c' does not occur.*: a, b"):
        features_of(task, encoder(), [Text("saya", "c")])


def test_batches_hold_every_example_once_and_answers_keep_their_order():
    lengths = np.random.RandomState(0).randint(1, 60, 103)
    batches = shuffled_batches(lengths, 4, np.random.RandomState(1))
    assert sorted(np.concatenate(batches)) == list(range(103))
    inside = np.mean([np.ptp(lengths[batch]) for batch in batches])
    assert inside < 0.2 * np.ptp(lengths)
    sizes = []

    def function(numbers):
        sizes.append(len(numbers))
        return np.array([-1 if n is None else 10 * n for n in numbers])

    assert each_row(function, lengths, 8) == [10 * n for n in range(103)]
    assert set(sizes) == {8}
    assert each_row(function, [5], 8) == [0] and sizes[-1] == 1


MAKE = {"classification": texts, "tagging": sentences, "entities": entities}


def task_and_rows(kind, count=6):
    examples = MAKE[kind](count)
    task = Task(kind, tuple(labels_of(examples)), 32, False, True)
    return task, features_of(task, encoder(), examples)


@pytest.mark.parametrize("kind,layout", [("classification", "google"), ("tagging", "brightmart")])
def test_towers_and_micro_batches_train_the_same_model(kind, layout, devices):
    config = ModelConfig.from_dict(dict(SIZES, layout=layout, vocab_size=PIECES))
    task, rows = task_and_rows(kind)
    balance = class_weights(task, rows, "balanced")
    batch = make_batch(task, rows, 32)
    schedule = polynomial_with_warmup(1e-3, 100)
    final = []
    for towers, accumulation in ((1, 1), (3, 1), (1, 2)):
        values = initial_weights(config, task, {}, seed=1)
        rule = make_optimizer(OptimizerConfig(name="adamw"), schedule, values)
        state = create_state(values, rule, devices[0])
        step = make_train_step(
            fine_tuning(config, task, balance),
            state,
            rule,
            schedule,
            devices[:towers],
            0,
            StepOptions(accumulation=accumulation),
        )
        losses = [float(step(batch).sums["loss"].total) for _ in range(5)]
        final.append((losses, {name: v.numpy() for name, v in state.parameters.items()}))
    assert final[0][0][-1] < final[0][0][0]
    for losses, weights in final[1:]:
        np.testing.assert_allclose(losses, final[0][0], rtol=1e-4)
        for name, value in weights.items():
            np.testing.assert_allclose(value, final[0][1][name], atol=2e-4, err_msg=name)


def test_rare_labels_weigh_as_much_as_frequent_ones():
    task = Task("classification", ("a", "b"), 16, False, True)
    examples = [Text("saya", "a")] * 3 + [Text("awak", "b")]
    rows = features_of(task, encoder(), examples)
    assert class_weights(task, rows, "none") == [1.0, 1.0]
    assert class_weights(task, rows, "balanced") == pytest.approx([4 / 6.0, 2.0])
    config = ModelConfig.from_dict(dict(SIZES, layout="google", vocab_size=PIECES))
    weights = initial_weights(config, task, {}, seed=1)
    tensors = {name: tf.constant(value) for name, value in weights.items()}
    batch = {k: tf.constant(v) for k, v in make_batch(task, rows + [None], 16).items()}
    sums = fine_tuning(config, task, [4 / 6.0, 2.0]).sums(tensors, batch)
    shares = Predictor(config, task, weights, "/device:CPU:0").outputs(rows)
    expected = -sum(
        weight * np.log(share[label])
        for share, label, weight in zip(shares, [0, 0, 0, 1], [4 / 6.0] * 3 + [2.0])
    )
    assert float(sums["loss"].total) == pytest.approx(expected, rel=1e-5)
    assert float(sums["loss"].weight) == pytest.approx(4.0)


def finetune(tmp_path, kind, *more, count=160):
    make = MAKE[kind]
    ending = "tsv" if kind == "classification" else "conllu"
    train = write_examples(tmp_path / ("train." + ending), make(count, 1))
    test = write_examples(tmp_path / ("test." + ending), make(30, 2))
    return albert(
        "finetune",
        "--task=" + kind,
        "--init_checkpoint={}".format(tmp_path / "run"),
        "--train_file={}".format(train),
        "--test_file={}".format(test),
        "--output_dir={}".format(tmp_path / "tuned"),
        "--max_seq_length=16",
        "--train_batch_size=8",
        "--learning_rate=5e-3",
        "--use_gpu=False",
        *more,
    )


@pytest.mark.parametrize(
    "kind,layout",
    [
        (kind, layout)
        for kind in ("classification", "tagging")
        for layout in ("google", "brightmart")
    ]
    + [("entities", "google")],
)
def test_it_learns_reports_predicts_and_is_exported(kind, layout, tmp_path, capsys):
    small_run(tmp_path / "run", layout)
    assert finetune(tmp_path, kind, "--num_train_epochs=8", "--num_gpu_cores=2") == 0
    tuned = tmp_path / "tuned"
    report = json.loads((tuned / "report.json").read_text(encoding="utf-8"))
    assert report["accuracy"] > 0.9
    assert report["entity_f1" if kind == "entities" else "macro_f1"] > 0.9
    assert report["examples"] == "test" and len(report["baselines"]) == 2
    total = np.sum(report["confusion"])
    if kind != "entities":
        assert total == sum(label["count"] for label in report["labels"].values())
    assert report["accuracy"] == pytest.approx(np.trace(report["confusion"]) / total)
    assert (tuned / "confusion_matrix.png").read_bytes()[:4] == b"\x89PNG"
    assert "accuracy = " in (tuned / "eval_results.txt").read_text()
    # What predict says of the same examples adds up to the report.
    capsys.readouterr()
    examples = MAKE[kind](30, 2)
    lines = [e.text if kind == "classification" else " ".join(e.words) for e in examples]
    (tmp_path / "lines.txt").write_text("\n".join(lines), encoding="utf-8")
    code = albert(
        "predict", "--output_dir=" + str(tuned), "--input_file=" + str(tmp_path / "lines.txt")
    )
    assert code == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    if kind == "classification":
        right = [answer["label"] == e.label for answer, e in zip(answers, examples)]
        assert sum(answers[0]["probabilities"].values()) == pytest.approx(1.0, abs=1e-4)
    elif kind == "entities":
        check_entities(answers, examples, report)
    else:
        assert [tuple(answer["words"]) for answer in answers] == [e.words for e in examples]
        right = [a == b for x, e in zip(answers, examples) for a, b in zip(x["tags"], e.tags)]
    if kind != "entities":
        assert np.mean(right) == pytest.approx(report["accuracy"])
    check_served(tmp_path, kind, examples)
    of_tuned = "--output_dir=" + str(tuned)
    assert albert("export", "--format=tf1", of_tuned, "--export_dir=x") == 2
    capsys.readouterr()
    assert albert("export", of_tuned, "--export_dir=x", "--do_lower_case") == 2
    assert "leave out --do_lower_case" in capsys.readouterr().err
    assert albert("predict", of_tuned, "--top_k=3", "--spm_model_file=other", "text") == 2
    assert "leave out --spm_model_file and --top_k" in capsys.readouterr().err
    assert albert("pack", of_tuned, "--archive={}".format(tmp_path / "a.tar.gz")) == 2
    assert "pack is for pre-trained ones" in capsys.readouterr().err
    assert albert("export", of_tuned, "--export_dir={}/my-labels/".format(tmp_path)) == 0
    card = (tmp_path / "my-labels" / "README.md").read_text(encoding="utf-8")
    assert 'from_pretrained("my-labels"' in card


def check_entities(answers, examples, report):
    """The entities of all answers, counted by hand, are those that the report counts."""
    found = expected = right = 0
    for answer, example in zip(answers, examples):
        spelled = " ".join(example.words)
        for entity in answer["entities"]:
            assert spelled[entity["start"] : entity["end"]] == entity["text"]
        ours = [(e["entity"], e["start"], e["end"]) for e in answer["entities"]]
        theirs = [("EAT", *match.span()) for match in re.finditer("makan", spelled)]
        theirs += [("PLACE", *match.span()) for match in re.finditer("rumah pejabat", spelled)]
        found, expected = found + len(ours), expected + len(theirs)
        right += len(set(ours) & set(theirs))
    assert report["entity_precision"] == pytest.approx(right / found)
    assert report["entity_recall"] == pytest.approx(right / expected)
    assert sum(label["count"] for label in report["labels"].values()) == expected


def check_served(tmp_path, kind, examples):
    out = str(tmp_path / "served")
    tuned = str(tmp_path / "tuned")
    assert (
        albert("export", "--format=savedmodel", "--output_dir=" + tuned, "--export_dir=" + out) == 0
    )
    found = open_fine_tuned(tuned)
    rows = features_of(found.task, encoder(), examples)
    expected = Predictor(found.config, found.task, found.weights, "/device:CPU:0").outputs(rows)
    loaded = tf.saved_model.load(out)  # kept: it owns the variables
    served = loaded.signatures["classify" if kind == "classification" else "tag"]
    batch = make_batch(found.task, rows[:4], 16)
    del batch["labels"]
    got = served(**{name: tf.constant(value) for name, value in batch.items()})["probabilities"]
    for row, ours, theirs in zip(rows, expected, got.numpy()):
        size = len(row.encoded.ids) if kind == "tagging" else None
        np.testing.assert_allclose(theirs[:size], ours[:size], atol=1e-5)


def test_training_ends_when_it_gets_no_better_and_keeps_the_best(tmp_path, caplog):
    small_run(tmp_path / "run", "google")
    assert finetune(tmp_path, "classification", "--num_train_epochs=40", "--patience=2") == 0
    lines = (tmp_path / "tuned" / "metrics.jsonl").read_text().splitlines()
    scores = [line for line in map(json.loads, lines) if line["kind"] == "eval"]
    assert len(scores) < 40
    best = max(range(len(scores)), key=lambda i: scores[i]["macro_f1"])
    report = json.loads((tmp_path / "tuned" / "report.json").read_text())
    assert len(scores) == best + 3 and report["epoch"] == best + 1
    assert (tmp_path / "tuned" / "model.ckpt-{}.index".format(scores[best]["step"])).exists()


def test_the_best_of_several_settings_is_kept(tmp_path):
    small_run(tmp_path / "run", "google")
    assert finetune(tmp_path, "classification", "--num_train_epochs=1", "--trials=3", count=60) == 0
    tuned = tmp_path / "tuned"
    trials = [json.loads(line) for line in (tuned / "trials.jsonl").read_text().splitlines()]
    assert [trial["trial"] for trial in trials] == [0, 1, 2]
    assert trials[0]["learning_rate"] == 5e-3 and len({t["learning_rate"] for t in trials}) == 3
    best = max(trials, key=lambda trial: trial["macro_f1"])
    report = json.loads((tuned / "report.json").read_text())
    assert report["learning_rate"] == best["learning_rate"]
    assert open_fine_tuned(str(tuned)).config.hidden_dropout_prob == best["dropout"]
    assert {path.name for path in tuned.iterdir() if path.is_dir()} <= {"tensorboard"}  # no trial


def bad_gradients(monkeypatch, from_step):
    """Every gradient is no number from a step on, as after an overflow."""
    plain = learner.make_train_step

    def failing(objective, state, *how):
        step = plain(objective, state, *how)

        def run(batch, wish):
            if int(state.global_step.numpy()) < from_step:
                return step(batch, wish)
            state.skipped_steps.assign_add(1)
            return not_applied()

        return run

    monkeypatch.setattr(learner, "make_train_step", failing)


@pytest.mark.parametrize("from_step", [0, 25])
def test_gradients_that_stay_bad_end_it_with_a_sentence(tmp_path, monkeypatch, capsys, from_step):
    small_run(tmp_path / "run", "google")
    bad_gradients(monkeypatch, from_step)
    assert finetune(tmp_path, "classification", "--num_train_epochs=2") == 2
    said = capsys.readouterr().err
    assert "The gradient stays without a finite value" in said and "Traceback" not in said
    assert not (tmp_path / "tuned" / "report.json").exists()


def interrupt_at(monkeypatch, step):
    """Ctrl-C while a step is computed."""
    plain = learner.make_train_step

    def interrupting(objective, state, *how):
        compute = plain(objective, state, *how)

        def run(batch, wish):
            if int(state.global_step.numpy()) == step:
                os.kill(os.getpid(), signal.SIGINT)
            return compute(batch, wish)

        return run

    monkeypatch.setattr(learner, "make_train_step", interrupting)


@pytest.mark.parametrize("step,more", [(7, []), (27, []), (7, ["--trials=2"])])
def test_interrupted_and_repeated_equals_unbroken(tmp_path, monkeypatch, capsys, step, more):
    small_run(tmp_path / "run", "google")
    flags = ["--num_train_epochs=2", "--num_gpu_cores=1"] + more
    assert finetune(tmp_path, "classification", *flags) == 0
    os.rename(str(tmp_path / "tuned"), str(tmp_path / "unbroken"))
    with monkeypatch.context() as patched:
        interrupt_at(patched, step)
        assert finetune(tmp_path, "classification", *flags) == 128 + signal.SIGINT
    assert not (tmp_path / "tuned" / "report.json").exists()
    assert finetune(tmp_path, "classification", *(flags + ["--dropout=0.2"])) == 2
    assert "unfinished fine-tuning with other flags (--dropout=0.1 --dropout=0.2)" in (
        capsys.readouterr().err
    )
    assert finetune(tmp_path, "classification", *flags) == 0
    reports = [
        json.loads((tmp_path / name / "report.json").read_text()) for name in ("tuned", "unbroken")
    ]
    assert reports[0] == reports[1]
    ours, theirs = [open_fine_tuned(str(tmp_path / name)) for name in ("tuned", "unbroken")]
    for name, value in theirs.weights.items():
        np.testing.assert_array_equal(ours.weights[name], value)
    assert finetune(tmp_path, "classification", *flags) == 2
    assert "is not empty" in capsys.readouterr().err


def test_pre_training_into_a_fine_tuned_folder_changes_nothing_there(tmp_path, capsys):
    small_run(tmp_path / "run", "google")
    assert finetune(tmp_path, "classification", "--num_train_epochs=1", count=16) == 0
    before = {p: p.read_bytes() for p in (tmp_path / "tuned").rglob("*") if p.is_file()}
    config = ModelConfig.from_json_file(str(tmp_path / "tuned" / "albert_config.json"))
    with pytest.raises(UsageError, match="holds a fine-tuned model"):
        with claimed(str(tmp_path / "tuned"), config, "--small=1.0\n"):
            pass
    assert {p: p.read_bytes() for p in (tmp_path / "tuned").rglob("*") if p.is_file()} == before


def test_what_will_not_fit_is_refused_with_a_flag_of_the_command(tmp_path, capsys):
    small_run(tmp_path / "run", "google")
    assert finetune(tmp_path, "classification", "--memory_limit_gb=0.01") == 2
    assert "A step of this run takes about" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["--output_dir=x"], "Pass what to learn"),
        (["--task=tagging", "--train_file=no", "--output_dir=x"], "Cannot read no"),
        (["--trials=0"], "trials"),
    ],
)
def test_mistakes_get_a_sentence(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert albert("finetune", "--use_gpu=False", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_one_label_is_refused_and_a_run_that_learned_nothing_is_named(
    tmp_path, monkeypatch, capsys, caplog
):
    small_run(tmp_path / "run", "google")
    monkeypatch.setattr(diagnosis, "learned_nothing", lambda run: True)
    monkeypatch.setitem(MAKE, "classification", lambda count, _: [Text("saya", "good")] * count)
    assert finetune(tmp_path, "classification") == 2
    assert "have the one label 'good'" in capsys.readouterr().err
    assert "no better than their frequencies" in caplog.text
    assert not (tmp_path / "tuned").exists()


def test_entities_count_only_if_whole_and_named_right():
    expected = [["B-X", "I-X", "O", "B-Y"], ["S-X", "O"]]
    found = entity_scores(expected, [["B-X", "I-X", "O", "B-X"], ["O", "O"]])
    assert found.scores["entity_precision"] == 0.5
    assert found.scores["entity_recall"] == pytest.approx(1 / 3)
    assert found.labels["X"]["count"] == 2 and found.labels["Y"]["f1"] == 0.0
    assert entity_scores([["O"]], [["O"]]).scores["entity_f1"] == 0.0
    check_tags(["O", "B-X", "E-X"], "x.txt")
    with pytest.raises(UsageError, match="x.txt has the tag 'NOUN'.*--task=tagging"):
        check_tags(["O", "NOUN"], "x.txt")


def test_weights_of_other_labels_are_refused(tmp_path):
    config = ModelConfig.from_dict(dict(SIZES, layout="google", vocab_size=PIECES))
    task = Task("classification", ("a", "b", "c"), 16, False, True)
    begin_folder(str(tmp_path), config, task, Tokenization(model()))
    two_labels = initial_weights(config, task._replace(labels=("a", "b")), {}, 0)
    write_tensors(str(tmp_path / "model.ckpt-3"), two_labels)
    told = r"labels of its folder: 2 weights differ, first output_weights: \[2, 21\]"
    with pytest.raises(UsageError, match=told):
        open_fine_tuned(str(tmp_path))
    write_tensors(str(tmp_path / "model.ckpt-3"), initial_weights(config, task, {}, 0))
    assert open_fine_tuned(str(tmp_path)).weights["output_weights"].dtype == np.float32


def test_words_of_the_test_corpus_are_known():
    assert set(GOOD + BAD) <= set(WORDS)
