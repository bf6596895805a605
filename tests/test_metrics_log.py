"""Metrics of steps that are done again."""

from albert.training.log.metrics import MetricsLog, read_metrics


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
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == wanted


def test_a_line_cut_off_by_a_crash_ends_the_list(tmp_path):
    log = MetricsLog(str(tmp_path), 0)
    written(log, (10, 20), loss=9.0)
    log.close()
    with open(str(tmp_path / "metrics.jsonl"), "a") as handle:
        handle.write('{"step": 30, "lo')
    assert [line["step"] for line in read_metrics(str(tmp_path))] == [10, 20]
