"""Questions on a text: files, windows, answers, scores, and what is learned from them."""

import json

import numpy as np
import pytest
from malay import sentences as malay_lines
from test_import_export import albert, small_run
from test_task_kinds import finetune, written
from test_tasks import encoder

from albert.compat import tf
from albert.system.errors import UsageError
from albert.tasks.answers import answer_scores, best_answer, normalized, similar_sentences
from albert.tasks.folder import open_fine_tuned
from albert.tasks.inference.load import load
from albert.tasks.losses import task_loss
from albert.tasks.rows.encoding import features_of
from albert.tasks.rows.examples import Question
from albert.tasks.rows.questions import read_questions
from albert.tasks.task import ENDS, Task

TASK = Task("question-answering", ENDS, 16, False, True)


def squad(*questions):
    """SQuAD 2.0 of them."""
    paragraphs = []
    for number, asked in enumerate(questions):
        answers = [{"text": text, "answer_start": asked.start} for text in asked.answers]
        qas = {"id": str(number), "question": asked.question, "answers": answers}
        qas["is_impossible"] = not answers
        paragraphs.append({"context": asked.context, "qas": [qas]})
    return json.dumps({"version": "v2.0", "data": [{"title": "x", "paragraphs": paragraphs}]})


def question(context, answer):
    start = context.index(answer) if answer else -1
    end = start + len(answer) if answer else -1
    return Question("buah apa", context, (answer,) if answer else (), start, end)


def test_squad_and_lines_give_the_same_questions(tmp_path, caplog):
    found, none = question("Dia makan durian.", "durian"), question("Dia minum.", "")
    path = written(tmp_path / "x.json", [squad(found, none)])
    assert read_questions(str(path)) == [found, none]
    lines = [
        {
            "question": each.question,
            "context": each.context,
            "answers": {
                "text": list(each.answers),
                "answer_start": [each.start][: len(each.answers)],
            },
        }
        for each in (found, none)
    ]
    path = written(tmp_path / "x.jsonl", map(json.dumps, lines))
    assert read_questions(str(path))[0] == found
    assert not caplog.text
    lines[0]["answers"]["answer_start"] = [3]
    lost = read_questions(str(written(tmp_path / "x.jsonl", map(json.dumps, lines))))[0]
    assert (lost.answers, lost.start) == (("durian",), -1)
    assert "1 of 2 questions have an answer that is not at its place" in caplog.text


@pytest.mark.parametrize(
    "content,message",
    [
        ("{", "is not JSON"),
        ("[]", "needs a list 'data'"),
        ('{"data": [{"paragraphs": [{"qas": [{"question": "apa"}]}]}]}', "needs a text 'context'"),
        ('{"data": [{"paragraphs": [{"context": "x", "qas": [3]}]}]}', "needs objects in 'qas'"),
        (
            '{"data": [{"paragraphs": [{"context": "x", "qas": [{"question": "apa", '
            '"answers": [{"text": "x", "answer_start": "0"}]}]}]}]}',
            "'answer_start' of each answer",
        ),
        ('{"data": []}', "holds no examples"),
    ],
)
def test_what_is_not_squad_is_told(content, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        read_questions(str(written(tmp_path / "x.json", [content])))


def test_pieces_stand_where_their_text_stands():
    spelled = encoder()
    for line in malay_lines(300, seed=6):
        ids, spans = spelled.located_pieces(line)
        assert ids == spelled.pieces(line), line
        for piece, (start, end) in zip(ids, spans):
            whole = line[start:end]
            assert spelled.spell(piece) == whole or len(whole.split()) == 1, line


def test_windows_overlap_and_mark_an_answer_that_they_hold():
    spelled = encoder()
    context = "saya makan nasi dan lemak di rumah ibu bapa kami dengan buah durian itu"
    asked = question(context, "buah durian")
    rows = features_of(TASK, spelled, [question("saya", "saya"), asked])[1:]
    assert len(rows) > 1 and {row.example for row in rows} == {1}
    answered = 0
    ids = spelled.pieces(context)
    covered = set()
    for row in rows:
        assert len(row.encoded.ids) <= 16
        places = row.window.places
        part = row.encoded.ids[places[:, 0] >= 0].tolist()
        at = [n for n in range(len(ids)) if ids[n : n + len(part)] == part]
        covered.update(n for start in at for n in range(start, start + len(part)))
        first, last = row.labels
        if first:
            answered += 1
            assert context[places[first, 0] : places[last, 1]] == "buah durian"
    assert answered and covered == set(range(len(ids)))
    (row,) = features_of(TASK._replace(max_seq_length=64), spelled, [question(context, "")])
    assert row.labels.tolist() == [0, 0]


def test_the_likeliest_answer_of_all_windows_is_found():
    spelled = encoder()
    context = "saya makan nasi dan lemak di rumah ibu bapa kami dengan buah durian itu"
    rows = features_of(TASK, spelled, [question(context, "durian")])
    outputs = []
    for row in rows:
        # Sure of nothing, but for the answer's own pieces; the end before the start is likeliest.
        output = np.full((2, 16), 0.01, np.float32)
        first, last = row.labels
        output[0, first], output[1, last] = 0.6, 0.5
        output[1, 1] = 0.9
        outputs.append(output)
    found = best_answer(list(zip(rows, outputs)), impossible=False)
    assert (found.text, context[found.start : found.end]) == ("durian", "durian")
    assert found.probability == pytest.approx(0.3)
    for output in outputs:
        output[:, 0] = 0.7
    assert best_answer(list(zip(rows, outputs)), impossible=False).text == "durian"
    assert best_answer(list(zip(rows, outputs)), impossible=True).text == ""


def test_scores_are_those_of_squad():
    assert normalized("  “Kuala Lumpur”, a (1905)! ") == "kuala lumpur a 1905"
    expected = [("Kuala Lumpur", "KL"), (), ("di rumah ibu",), ()]
    found = answer_scores(expected, ["kuala lumpur.", "", "rumah bapa", "buah"])
    f1 = 2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3)
    assert found == pytest.approx({"f1": (1 + 1 + f1 + 0) / 4, "exact_match": 0.5})


def test_the_loss_is_that_of_transformers():
    starts = [[0.3, -1.2, 2.5, 0.7], [0.1, 4.0, -3.0, 1.0], [9.0, 9.0, 9.0, 9.0]]
    ends = [[0.9, -0.2, 1.5, -0.7], [1.1, 0.0, -3.0, 2.0], [9.0, 9.0, 9.0, 9.0]]
    logits = tf.constant(np.stack([starts, ends], axis=1).astype(np.float32))
    labels = tf.constant(np.array([[2, 2], [1, 3], [-1, -1]], np.int32))
    loss = task_loss(TASK, [1.0, 1.0])
    found, _ = loss.sums(logits, labels)
    assert float(found.weight) == float(loss.weight(labels)) == 4.0
    # As AlbertForQuestionAnswering computes it of two rows in torch.
    assert float(found.total) / 4.0 == pytest.approx(0.3449823, rel=1e-6)


def test_a_baseline_finds_the_similar_sentence():
    asked = Question("Siapa makan durian?", "Ali minum kopi. Abu makan durian! Ia 3.", ("Abu",))
    assert similar_sentences([asked], [asked]) == ["Abu makan durian!"]


FRUITS = ("durian", "pisang")


def fruits(count, seed):
    """Questions on texts of which three in four name a fruit, which is the answer."""
    random = np.random.RandomState(seed)
    found = []
    for number in range(count):
        words = list(random.choice(["saya", "makan", "di", "rumah", "hujan"], 7))
        fruit = FRUITS[random.randint(2)] if number % 4 else ""
        if fruit:
            words.insert(random.randint(8), fruit)
        found.append(question(" ".join(words), fruit))
    return found


def test_answers_are_learned_predicted_and_exported(tmp_path, capsys):
    small_run(tmp_path / "run", "google")
    train = written(tmp_path / "train.json", [squad(*fruits(80, 1))])
    test = written(tmp_path / "test.json", [squad(*fruits(24, 2))])
    more = ["--test_file={}".format(test), "--num_train_epochs=5", "--learning_rate=5e-3"]
    more += ["--patience=5", "--dropout=0", "--num_gpu_cores=2"]
    assert finetune(tmp_path, "question-answering", train, *more) == 0
    report = json.loads((tmp_path / "tuned" / "report.json").read_text(encoding="utf-8"))
    assert report["f1"] > 0.7
    assert set(report["baselines"]) == {"TF-IDF, most similar sentence", "no answer"}
    assert report["baselines"]["no answer"]["exact_match"] == 0.25
    tuned = "--output_dir={}".format(tmp_path / "tuned")
    assert open_fine_tuned(str(tmp_path / "tuned")).task.impossible
    # What predict says of the same examples adds up to the report.
    lines = ["{}\t{}".format(x.question, x.context) for x in fruits(20, 2)]
    lines += [
        json.dumps({"question": x.question, "context": x.context}) for x in fruits(24, 2)[20:]
    ]
    asked = written(tmp_path / "asked.txt", lines)
    capsys.readouterr()
    assert albert("predict", tuned, "--input_file={}".format(asked)) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    scores = answer_scores([x.answers for x in fruits(24, 2)], [a["answer"] for a in answers])
    assert scores["f1"] == pytest.approx(report["f1"])
    for answer, x in zip(answers, fruits(24, 2)):
        if answer["answer"]:
            assert x.context[answer["start"] : answer["end"]] == answer["answer"]
    assert albert("predict", tuned, "apa") == 1
    assert "two texts with a tab between them" in json.loads(capsys.readouterr().out)["error"]
    assert albert("predict", tuned, '{"question": "apa"}') == 1
    assert "Texts must be of type str" in json.loads(capsys.readouterr().out)["error"]
    assert albert("export", tuned, "--export_dir={}".format(tmp_path / "hf")) == 0
    again = load(str(tmp_path / "hf"), use_gpu=False)
    assert again.task.kind == "question-answering" and not again.task.impossible
    again.task = again.task._replace(impossible=True)
    pairs = [(x.question, x.context) for x in fruits(24, 2)]
    assert [a["answer"] for a in again.predict(pairs)] == [a["answer"] for a in answers]
