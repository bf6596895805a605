"""Runs side by side, from folders made by hand."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT

from albert.system.errors import UsageError
from albert.training.log.comparison import differing, overlay, read_run, rows


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
