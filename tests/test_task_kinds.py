"""Tasks beyond one label of one text: pairs of texts."""

import json

import numpy as np
import pytest
from test_import_export import albert, small_run
from test_tasks import encoder

from albert.system.errors import UsageError
from albert.tasks.baselines import baselines
from albert.tasks.folder import open_fine_tuned
from albert.tasks.rows.examples import Text
from albert.tasks.rows.features import features_of
from albert.tasks.rows.tables import read_texts
from albert.tasks.task import Task


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
    with pytest.raises(UsageError, match="row 2 has no text_b"):
        read_texts(str(tmp_path / "c.tsv"))


def test_pairs_are_learned_and_predicted(tmp_path, capsys):
    small_run(tmp_path / "run", "google")
    train = written(tmp_path / "train.tsv", ["text\ttext_b\tlabel"] + PAIRS * 8)
    test = written(tmp_path / "test.tsv", ["text\tlabel", "saya\tsame"])
    assert finetune(tmp_path, "classification", train, "--test_file={}".format(test)) == 2
    assert "row 2 has no column 'text_b'" in capsys.readouterr().err
    assert finetune(tmp_path, "classification", train) == 0
    assert open_fine_tuned(str(tmp_path / "tuned")).task.pairs
    (answer,) = predict(tmp_path, capsys, "saya makan\thujan")
    assert (answer["text"], answer["text_b"]) == ("saya makan", "hujan")
    assert albert("predict", "--output_dir={}".format(tmp_path / "tuned"), "saya makan") == 2
    assert "two texts with a tab between them" in capsys.readouterr().err


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
