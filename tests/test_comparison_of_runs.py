"""Runs side by side, from folders made by hand."""

import html.parser
import json
import subprocess
import sys

import pytest
from conftest import ROOT

from albert.system.errors import UsageError
from albert.training.log.comparison import differing, overlay, read_run, rows
from albert.training.log.report import write_report


def make_run(directory, rate, losses, batch=8):
    directory.mkdir(parents=True)
    text = "--learning_rate={}\n--nouse_gpu\n--train_batch_size={}\n--output_dir={}\n"
    (directory / "flags.txt").write_text(text.format(rate, batch, directory))
    (directory / "albert_config.json").write_text('{"hidden_size": 128}')
    lines = []
    for number, loss in enumerate(losses):
        step = 10 * (number + 1)
        scores = {"loss": loss, "masked_lm_loss": loss, "masked_lm_accuracy": 0.25, "step": step}
        speed = {"sequences_per_second": 4.0, "tokens_per_second": 100.0}
        lines += [dict(scores, kind="train", **speed), dict(scores, kind="eval")]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(directory)


def test_only_what_differs_is_shown_with_last_and_best_scores_time_and_tokens(tmp_path):
    names = [
        make_run(tmp_path / "[red]a $x", 0.1, [6.0, 5.0, 5.5]),
        make_run(tmp_path / "_b", 0.2, [6.0]),
    ]
    runs = [read_run(name) for name in names]
    assert differing(runs) == ["learning_rate"]
    head, *body = rows(runs)
    assert head == ["", *names]
    row = {name: first for name, first, _ in body}
    assert row["learning_rate"] == "0.1"
    assert (row["last nats"], row["best nats"], row["best at"]) == ("5.500", "5.000", "20")
    # 30 updates of 8 sequences, 4 a second, 100 tokens a second
    assert (runs[0].seconds, runs[0].tokens, row["minutes"]) == (60.0, 6000.0, "1.0")


def test_a_run_has_one_colour_in_every_panel_and_its_name_in_the_legend(tmp_path):
    names = [make_run(tmp_path / name, 0.1, [6.0, 5.0]) for name in ("a$b$^", "_b")]
    figure = overlay([read_run(name) for name in names])
    for axes in figure.axes[:3]:
        colours = [line.get_color() for line in axes.get_lines()]
        assert colours == ["C0", "C0", "C1", "C1"]
    legend = [text.get_text() for text in figure.axes[3].get_legend().get_texts()]
    assert legend == [name.replace("$", r"\$") for name in names]
    figure.savefig(str(tmp_path / "curves.png"))  # no name is taken for a formula


@pytest.mark.parametrize("content", [None, "", "no json\n"])
def test_what_is_no_run_or_has_measured_nothing_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "metrics.jsonl").write_text(content)
    with pytest.raises(UsageError) as error:
        read_run(str(tmp_path))
    assert str(tmp_path) in str(error.value)


def test_the_command_leaves_out_what_is_no_run_and_does_not_load_tensorflow(tmp_path):
    run = make_run(tmp_path / "[bold]a", 0.1, [6.0])
    code = "import sys; from albert.__main__ import run\ntry: run(sys.argv)\n"
    code += "finally: assert 'tensorflow' not in sys.modules"
    picture = tmp_path / "new" / "curves.png"
    done = subprocess.run(
        [sys.executable, "-c", code, "compare", run, str(tmp_path), "--output=" + str(picture)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output = done.stdout.decode()
    assert done.returncode == 0, output
    assert "[bold]a" in output
    assert "Left out: {}: no run".format(tmp_path) in output
    assert picture.read_bytes().startswith(b"\x89PNG")


class Page(html.parser.HTMLParser):
    """What is in a page: its elements in their order, and the text of each kind."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts = [], {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)
        assert "src" not in dict(attributes), "needs another file"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)


def test_a_report_is_one_page_in_which_names_and_values_are_text(tmp_path):
    run = make_run(tmp_path / "<b>a&b", "</script><script>alert(1)</script>", [6.0, 5.0])
    finding = {"name": "plateau", "sentence": "<i>Stuck", "state": "appeared", "step": 10}
    gone = dict(finding, name="slow", sentence="Slow")
    lines = [finding, gone, dict(gone, state="gone")]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "<b>a&b" / "findings.jsonl").write_text(text)
    with open(write_report(run), encoding="utf-8") as handle:
        page = Page(handle.read())
    assert not page.open
    assert page.texts["h1"] == [run]
    assert "<i>Stuck" in page.texts["p"] and "Slow" not in page.texts["p"]
    assert "</script><script>alert(1)</script>" in page.texts["td"]
    data = json.loads(page.texts["script"][0])
    assert data["axes"] == ["updates", "tokens", "minutes of updates"]
    loss = next(panel for panel in data["panels"] if panel["title"] == "masked-LM loss (nats)")
    # 10 updates of 8 sequences, 4 a second, 100 tokens a second
    assert loss["train"] == [[10, 2000.0, 20 / 60, 6.0], [20, 4000.0, 40 / 60, 5.0]]
    assert [point[3] for point in loss["eval"]] == [6.0, 5.0]


def test_a_report_does_not_grow_with_the_run(tmp_path):
    run = make_run(tmp_path / "long", 0.1, [float(n) for n in range(5000)])
    path = write_report(run)
    with open(path, encoding="utf-8") as handle:
        data = json.loads(Page(handle.read()).texts["script"][0])
    curve = data["panels"][0]["train"]
    assert 300 < len(curve) <= 600 and curve[0][0] < curve[-1][0]
    assert abs(sum(point[3] for point in curve) / len(curve) - 2499.5) < 5
