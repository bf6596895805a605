"""Metrics of steps that are done again."""

import json

import pytest

from albert.system.errors import UsageError
from albert.training.log import trackers
from albert.training.log.metrics import MetricsLog, read_metrics
from albert.training.log.trackers import Place, Tracker, open_trackers


def written(log, steps, loss):
    for step in steps:
        log.write("train", step, {"loss": loss})


def test_undone_steps_leave_the_metrics_and_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = MetricsLog(str(tmp_path), 0)
    written(log, (10, 20, 30), loss=9.0)
    log.go_back(10)
    written(log, (20,), loss=8.0)
    log.close()
    log = MetricsLog(str(tmp_path), 15)  # resumed from a checkpoint before the last line
    written(log, (20, 30), loss=7.0)
    log.close()
    wanted = [(10, 9.0), (20, 7.0), (30, 7.0)]
    assert [(line["step"], line["loss"]) for line in read_metrics(str(tmp_path))] == wanted
    events = EventAccumulator(str(tmp_path / "tensorboard" / "train"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == wanted


def test_training_and_held_out_are_curves_of_one_chart(tmp_path):
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    log = MetricsLog(str(tmp_path), 0)
    written(log, (10, 20), loss=9.0)
    log.write("eval", 20, {"loss": 8.0})
    log.close()
    events = EventMultiplexer().AddRunsFromDirectory(str(tmp_path / "tensorboard"))
    events.Reload()
    found = {run: [e.value for e in events.Scalars(run, "loss")] for run in events.Runs()}
    assert found == {"train": [9.0, 9.0], "eval": [8.0]}


def test_weights_and_biases_gets_a_run_and_the_same_one_when_it_goes_on(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is an extra: pip install '.[wandb]'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracked(tmp_path, "wandb")
    assert len(list((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))) == 2
    (name,) = {path.stem for path in (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")}
    assert json.loads((tmp_path / "trackers.json").read_text()) == {"wandb": name[len("run-") :]}


def test_mlflow_gets_a_run_and_the_same_one_when_it_goes_on(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="mlflow is an extra: pip install '.[mlflow]'")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracked(tmp_path, "mlflow")
    client = mlflow.MlflowClient("sqlite:///{}".format(tmp_path / "mlflow.db"))
    name = json.loads((tmp_path / "trackers.json").read_text())["mlflow"]
    run = client.get_run(name)
    assert (run.info.status, run.data.params) == ("FINISHED", {"optimizer": "muon"})
    history = client.get_metric_history(name, "train/loss")
    assert [(metric.step, metric.value) for metric in history] == [(10, 9.0), (20, 8.0)]


def tracked(directory, names):
    """A run of two lines that goes on after the first."""
    place = Place(str(directory), {"optimizer": "muon"})
    for step, loss in ((10, 9.0), (20, 8.0)):
        log = MetricsLog(str(directory), step - 10, open_trackers(names, place))
        written(log, (step,), loss)
        log.close()


class Broken(Tracker):
    """A tracker whose network is gone."""

    name = "x"

    def __init__(self, place, known):
        pass

    def write(self, kind, step, values):
        raise OSError("no route to host")


def test_no_run_ends_because_a_tracker_does_not_answer(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(trackers._OTHERS, "wandb", Broken)
    tracked(tmp_path, "wandb")
    assert [line["step"] for line in read_metrics(str(tmp_path))] == [10, 20]
    assert "wandb gets nothing more of this run: no route to host" in caplog.text


def test_a_tracker_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'albert-pretraining\[wandb\]'"):
        trackers.check_trackers("tensorboard,wandb")
    with pytest.raises(UsageError, match="--tracker must be one of: tensorboard, mlflow, wandb"):
        trackers.check_trackers("tensorbord")


def test_a_line_cut_off_by_a_crash_ends_the_list(tmp_path):
    log = MetricsLog(str(tmp_path), 0)
    written(log, (10, 20), loss=9.0)
    log.close()
    with open(str(tmp_path / "metrics.jsonl"), "a") as handle:
        handle.write('{"step": 30, "lo')
    assert [line["step"] for line in read_metrics(str(tmp_path))] == [10, 20]
