"""Tasks beyond one label of one text: pairs of texts, numbers, several labels."""

import json

import numpy as np
import pytest
from test_import_export import albert, small_run
from test_tasks import encoder

from albert.compat import tf
from albert.system.errors import UsageError
from albert.tasks.baselines import baselines
from albert.tasks.finetuning.what import TaskOptions
from albert.tasks.folder import open_fine_tuned
from albert.tasks.inference.load import load
from albert.tasks.losses import task_loss
from albert.tasks.rows.encoding import features_of
from albert.tasks.rows.examples import Text
from albert.tasks.rows.features import make_batch
from albert.tasks.rows.labels import number, several
from albert.tasks.rows.tables import read_texts
from albert.tasks.scores import judge
from albert.tasks.task import Task
from albert.text.tokenization import TextOptions


def written(path, lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def finetune(tmp_path, task, train, *more):
    return albert(
        "finetune",
        "--task=" + task,
        "--init_checkpoint={}".format(tmp_path / "run"),
        "--train_file={}".format(train),
        "--output_dir={}".format(tmp_path / "tuned"),
        "--max_seq_length=16",
        "--train_batch_size=8",
        "--num_train_epochs=1",
        "--use_gpu=False",
        *more,
    )


def predict(tmp_path, capsys, *texts):
    capsys.readouterr()
    assert albert("predict", "--output_dir={}".format(tmp_path / "tuned"), *texts) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


PAIRS = ["saya makan\tsaya minum\tsame", "saya makan\thujan\tother"]


def test_pairs_are_two_segments_and_the_longer_text_loses_its_end():
    task = Task("classification", ("a", "b"), 10, False, True, pairs=True)
    (row,) = features_of(task, encoder(), [Text("saya", "b", "makan nasi di rumah kami")])
    spelled = encoder()
    first, second = spelled.pieces("saya"), spelled.pieces("makan nasi di rumah kami")
    kept = second[: 10 - 3 - len(first)]
    v = spelled.vocabulary
    assert row.encoded.ids.tolist() == [v.cls] + first + [v.sep] + kept + [v.sep]
    assert row.encoded.segments.tolist() == [0] * (len(first) + 2) + [1] * (len(kept) + 1)
    assert row.labels.tolist() == [1]


def test_second_texts_are_found_by_name_or_number(tmp_path):
    named = written(tmp_path / "a.tsv", ["text\ttext_b\tlabel"] + PAIRS)
    expected = [Text("saya makan", "same", "saya minum"), Text("saya makan", "other", "hujan")]
    assert read_texts(str(named)) == expected
    assert read_texts(str(named), text_b_column="")[0] == Text("saya makan", "same")
    bare = written(tmp_path / "b.tsv", PAIRS)
    assert read_texts(str(bare), "1", "3", "2") == expected
    with pytest.raises(UsageError, match="row 2 has no column 'kedua'.*--text_b_column"):
        read_texts(str(named), text_b_column="kedua")
    written(tmp_path / "c.tsv", ["text\ttext_b\tlabel", "saya\t\tsame"])
    with pytest.raises(UsageError, match="row 2 has no text .column text_b"):
        read_texts(str(tmp_path / "c.tsv"))


def test_files_of_pairs_and_of_texts_do_not_mix(tmp_path, capsys):
    small_run(tmp_path / "run", "google")
    train = written(tmp_path / "train.tsv", ["text\ttext_b\tlabel"] + PAIRS * 8)
    test = written(tmp_path / "test.tsv", ["text\tlabel", "saya\tsame"])
    assert finetune(tmp_path, "classification", train, "--test_file={}".format(test)) == 2
    assert "row 2 has no column 'text_b'" in capsys.readouterr().err


def test_a_baseline_of_pairs_knows_how_alike_they_are():
    random = np.random.RandomState(0)
    words = ["kata{}".format(number) for number in range(200)]

    def pair(number):
        first = list(random.choice(words, 5, False))
        second = first if number % 2 else list(random.choice(words, 5, False))
        return Text(" ".join(first), "same" if number % 2 else "other", " ".join(second))

    examples = [pair(number) for number in range(300)]
    task = Task("classification", ("other", "same"), 16, False, True, pairs=True)
    found = baselines(task, examples[:200], examples[200:])
    assert found["TF-IDF, logistic regression"]["accuracy"] > 0.9


def numbers(count, seed=0):
    """Texts whose number is how often they name food, in tens."""
    random = np.random.RandomState(seed)
    foods = random.randint(0, 6, count)
    return [Text(" ".join(["nasi"] * n + ["hujan"] * (5 - n)), 10.0 * n + 100.0) for n in foods]


def test_losses_of_numbers_are_those_of_transformers():
    logits = np.array([[0.3], [-1.2], [2.5], [9.0]], np.float32)
    labels = np.array([[0.5], [1.0], [2.0], [np.nan]], np.float32)
    loss = task_loss(Task("regression", ("score",), 16, False, True), [1.0])
    (found,) = loss.sums(tf.constant(logits), tf.constant(labels))
    assert float(found.weight) == float(loss.weight(tf.constant(labels))) == 3.0
    # torch.nn.functional.mse_loss, as AlbertForSequenceClassification has it, of the first three.
    assert float(found.total) / 3.0 == pytest.approx(1.7099999, rel=1e-6)


def test_correlations_are_those_of_their_definitions():
    task = Task("regression", ("score",), 16, False, True)
    right, found = [np.array([x]) for x in (1.0, 2.0, 2.0, 4.0)], [1.0, 3.0, 2.0, 9.0]
    scores = judge(task, right, [np.array([x]) for x in found]).scores
    assert scores["pearson"] == pytest.approx(np.corrcoef([1, 2, 2, 4], found)[0, 1])
    assert scores["spearman"] == pytest.approx(np.corrcoef([1, 2.5, 2.5, 4], [1, 3, 2, 4])[0, 1])
    assert scores["mean_absolute_error"] == pytest.approx(1.5)
    assert judge(task, right, [np.array([0.0])] * 4).scores["spearman"] == 0.0


def test_what_is_no_number_is_refused(tmp_path, capsys):
    for cell in ("tiga", "nan", ""):
        written(tmp_path / "x.tsv", ["text\tlabel", "saya\t" + cell])
        with pytest.raises(UsageError, match="row 2 has (the label .*, which is no|no label)"):
            read_texts(str(tmp_path / "x.tsv"), parse=number)
    small_run(tmp_path / "run", "google")
    train = written(tmp_path / "x.csv", ["text,label"] + ["saya,3"] * 9)
    assert finetune(tmp_path, "regression", train) == 2
    assert "have the one label 3.0" in capsys.readouterr().err
    train = written(tmp_path / "x.csv", ["text,label"] + ["saya,3", "dia,4"] * 9)
    assert finetune(tmp_path, "regression", train, "--class_weights=balanced") == 2
    assert "is for tasks that choose one label" in capsys.readouterr().err


def test_numbers_of_any_size_are_learned_predicted_and_exported(tmp_path, capsys):
    small_run(tmp_path / "run", "google")
    lines = ["{}\t{}".format(*each) for each in numbers(160)]
    train = written(tmp_path / "train.tsv", ["text\tlabel"] + lines)
    more = ["--num_train_epochs=4", "--learning_rate=5e-3", "--num_gpu_cores=2"]
    assert finetune(tmp_path, "regression", train, *more) == 0
    tuned = str(tmp_path / "tuned")
    report = json.loads((tmp_path / "tuned" / "report.json").read_text(encoding="utf-8"))
    assert report["spearman"] > 0.9 and report["mean_absolute_error"] < 10.0
    assert set(report["baselines"]) == {"TF-IDF, ridge regression", "mean"}
    assert "confusion" not in report and not (tmp_path / "tuned" / "confusion_matrix.png").exists()
    texts = [each.text for each in numbers(4, 7)]
    answers = [answer["score"] for answer in predict(tmp_path, capsys, *texts)]
    assert np.abs(np.array(answers) - [each.label for each in numbers(4, 7)]).mean() < 10.0
    # Through transformers and back, where the head says the number itself.
    out = ["--output_dir=" + tuned, "--export_dir={}".format(tmp_path / "hf")]
    assert albert("export", *out) == 0
    config = json.loads((tmp_path / "hf" / "config.json").read_text(encoding="utf-8"))
    assert config["problem_type"] == "regression" and config["id2label"] == {"0": "score"}
    again = load(str(tmp_path / "hf"), use_gpu=False)
    assert (again.task.kind, again.task.mean, again.task.deviation) == ("regression", 0.0, 1.0)
    assert [a["score"] for a in again.predict(texts)] == pytest.approx(answers, rel=1e-5)
    out = ["--output_dir=" + tuned, "--export_dir={}".format(tmp_path / "served")]
    assert albert("export", "--format=savedmodel", *out) == 0
    loaded = tf.saved_model.load(str(tmp_path / "served"))  # kept: it owns the variables
    found = open_fine_tuned(tuned)
    rows = features_of(found.task, encoder(), [Text(text, 0.0) for text in texts])
    batch = make_batch(found.task, rows, 16)
    del batch["labels"]
    served = loaded.signatures["regress"](**{n: tf.constant(v) for n, v in batch.items()})
    np.testing.assert_allclose(served["scores"].numpy()[:, 0], answers, rtol=1e-5)


FLAVOURS = {"nasi": "salty", "durian": "sweet", "kopi": "bitter"}


def flavours(count, seed=0):
    """Pairs of texts with a label for each kind of food that the second names, some without."""
    random = np.random.RandomState(seed)
    found = []
    for _ in range(count):
        foods = [food for food in sorted(FLAVOURS) if random.rand() < 0.4]
        labels = tuple(sorted(FLAVOURS[food] for food in foods))
        found.append(Text("saya makan", labels, " ".join(foods + ["hujan"])))
    return found


def test_several_labels_are_read_from_lists_and_cells(tmp_path):
    expected = [Text("saya", ("a", "b")), Text("dia", ()), Text("kami", ("a",))]
    for name, lines, separator in (
        ("x.tsv", ["text\tlabel", "saya\tb, a,b", "dia\t", "kami\ta"], ","),
        ("x.csv", ["text,label", "saya,b|a", "dia,", "kami,a"], "|"),
        (
            "x.jsonl",
            [
                '{"text": "saya", "label": ["b", "a"]}',
                '{"text": "dia", "label": []}',
                '{"text": "kami", "label": "a"}',
            ],
            ",",
        ),
    ):
        path = written(tmp_path / name, lines)
        assert read_texts(str(path), parse=several(separator)) == expected
    with pytest.raises(UsageError, match="--label_separator must not be empty"):
        TaskOptions("multi-label", "x.tsv", label_separator="")


def test_a_label_too_rare_for_the_training_share_is_a_label(tmp_path):
    lines = ["text\tlabel"] + ["saya\ta", "dia\tb"] * 10 + ["kami\trare"]
    train = str(written(tmp_path / "x.tsv", lines))
    for seed in range(20):
        what = TaskOptions("classification", train)
        examples = what.examples(seed)
        assert what.task_of(examples, 16, TextOptions(False, True)).labels == ("a", "b", "rare")


def test_losses_and_scores_of_several_labels_are_those_of_their_definitions():
    logits = np.array([[0.3, -1.2, 2.5], [0.1, 4.0, -3.0], [9.0, 9.0, 9.0]], np.float32)
    labels = np.array([[1, 0, 1], [0, 0, 1], [-1, -1, -1]], np.int32)
    task = Task("multi-label", ("a", "b", "c"), 16, False, True)
    loss = task_loss(task, [1.0] * 3)
    (found,) = loss.sums(tf.constant(logits), tf.constant(labels))
    assert float(found.weight) == float(loss.weight(tf.constant(labels))) == 6.0
    # binary_cross_entropy_with_logits, as AlbertForSequenceClassification has it, of two rows.
    assert float(found.total) / 6.0 == pytest.approx(1.4512768, rel=1e-6)
    judged = judge(task, list(labels[:2]), [np.array([1, 1, 1]), np.array([0, 0, 1])])
    # a and c are right everywhere, b was found once and never there.
    f1 = {"micro_f1": 6.0 / 7.0, "macro_f1": 2.0 / 3.0, "exact_match": 0.5}
    assert judged.scores == pytest.approx(f1)
    assert judged.labels["b"]["f1"] == 0.0 and judged.labels["c"]["count"] == 2


def test_several_labels_of_pairs_are_learned_predicted_and_exported(tmp_path, capsys):
    small_run(tmp_path / "run", "google")
    files = []
    for name, examples in (("train.tsv", flavours(200)), ("test.tsv", flavours(30, 7))):
        lines = ["{}\t{}\t{}".format(x.text, x.text_b, ",".join(x.label)) for x in examples]
        files.append(written(tmp_path / name, ["text\ttext_b\tlabel"] + lines))
    more = ["--num_train_epochs=4", "--learning_rate=2e-3", "--dropout=0", "--train_batch_size=4"]
    more.append("--test_file={}".format(files[1]))
    assert finetune(tmp_path, "multi-label", files[0], *more) == 0
    report = json.loads((tmp_path / "tuned" / "report.json").read_text(encoding="utf-8"))
    assert report["micro_f1"] > 0.7 and set(report["labels"]) == set(FLAVOURS.values())
    assert report["baselines"]["TF-IDF, one-vs-rest logistic regression"]["micro_f1"] > 0.9
    # What predict says of the same examples adds up to the report.
    pairs = [(each.text, each.text_b) for each in flavours(30, 7)]
    answers = predict(tmp_path, capsys, *["\t".join(pair) for pair in pairs])
    assert [(answer["text"], answer["text_b"]) for answer in answers] == pairs
    right = [tuple(a["labels"]) == each.label for a, each in zip(answers, flavours(30, 7))]
    assert np.mean(right) == pytest.approx(report["exact_match"])
    assert albert("predict", "--output_dir={}".format(tmp_path / "tuned"), "saya makan") == 1
    assert "two texts with a tab between them" in json.loads(capsys.readouterr().out)["error"]
    out = ["--output_dir={}".format(tmp_path / "tuned"), "--export_dir={}".format(tmp_path / "hf")]
    assert albert("export", *out) == 0
    config = json.loads((tmp_path / "hf" / "config.json").read_text(encoding="utf-8"))
    assert config["problem_type"] == "multi_label_classification"
    again = load(str(tmp_path / "hf"), use_gpu=False)
    assert again.task.kind == "multi-label"
    # Which models have learned from pairs, transformers does not say.
    again.task = again.task._replace(pairs=True)
    assert [answer["labels"] for answer in again.predict(pairs)] == [a["labels"] for a in answers]
