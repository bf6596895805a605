"""The loop of a training: in which order steps start, are read, and what is due happens."""

import types

import numpy as np
import pytest

from albert.compat import tf
from albert.hosts.group import ALONE
from albert.records.tfrecord import RecordError
from albert.training.log.interval import Interval
from albert.training.loop.loop import Due, Follower, Loop
from albert.training.loop.rollback import Rollbacks
from albert.training.step.step import StepResult


class Applied:
    """Whether an update was made; says when that is asked for, which waits for a device."""

    def __init__(self, number, value, events):
        self._number, self._value, self._events = number, value, events

    def __bool__(self):
        self._events.append("read {}".format(self._number))
        return self._value


class Learner:
    """Counts updates instead of making them."""

    hosts = ALONE

    def __init__(self, events, bad):
        self._events, self._bad = events, bad
        self._started = self.global_step = 0
        self.state = types.SimpleNamespace(next_batch=lambda: self._started, variables=dict)

    def step(self, batch, wish):
        self._started += 1
        self._events.append("start {}".format(self._started))
        good = self._started not in self._bad
        self.global_step += good
        zero = tf.zeros([])
        applied = Applied(self._started, good, self._events)
        return StepResult({}, zero, zero, applied, zero, tf.reshape(wish, [1]), zero)


class Lines(Follower):
    """Keeps the steps of lines."""

    def __init__(self, events):
        self._events = events
        self.interval = Interval(1)

    def line(self, step, undone):
        self._events.append("line {}".format(step))


def batches(first):
    while True:
        yield {name: np.ones([2, 4], np.int32) for name in ("input_ids", "input_mask")}


@pytest.mark.parametrize(
    "bad, expected",
    [
        (
            [],
            "start 1, start 2, read 1, start 3, read 2, read 3, line 3, "
            "start 4, start 5, read 4, read 5, line 5",
        ),
        (  # The step after a bad one may run before that is known, but not the next.
            [2, 3],
            "start 1, start 2, read 1, start 3, read 2, read 3, start 4, read 4, "
            "start 5, read 5, line 3, start 6, start 7, read 6, read 7, line 5",
        ),
    ],
)
def test_a_device_computes_while_the_result_before_is_read(bad, expected):
    events = []
    learner, follower = Learner(events, bad), Lines(events)
    rollbacks = Rollbacks(0, 1e-3, None, lambda learner: "the start")
    due = Due(end=5, line=3, save=100, evaluation=100)
    loop = Loop(learner, batches, due, follower, None, rollbacks, progress=False)
    assert loop.go() == 0
    assert ", ".join(events) == expected
    assert learner.global_step == 5


class Manager:
    """Notes what is saved."""

    def __init__(self, events):
        self._events = events

    def latest(self):
        return None

    def save(self, variables, step):
        self._events.append("save {}".format(step))


def test_what_was_learned_is_saved_before_damaged_records_end_the_run():
    def three(first):
        for number, batch in enumerate(batches(first)):
            if number == 3:
                raise RecordError("a.tfrecord is damaged")
            yield batch

    events = []
    rollbacks = Rollbacks(0, 1e-3, None, lambda learner: "the start")
    due = Due(end=9, line=100, save=100, evaluation=100)
    parts = (Learner(events, []), three, due, Lines(events), Manager(events), rollbacks)
    with pytest.raises(RecordError, match="is damaged"):
        Loop(*parts, progress=False).go()
    assert events[-1] == "save 3"


class Ending(Lines):
    """Wishes to end once there was a line."""

    def exit_code(self):
        return 0 if self._events and self._events[-1].startswith("line") else None


@pytest.mark.parametrize("of_the_first, last", [(-1, 5), (0, 0)])
def test_several_hosts_end_after_the_same_update(of_the_first, last):
    """By a wish that the sum of a step carries; before the first step by that of the first host."""
    hosts = types.SimpleNamespace(
        count=2,
        addresses=["a:1", "b:1"],
        from_first=lambda values, purpose: [of_the_first] if purpose == "wish" else values,
        texts=lambda text, purpose: [text, text],
    )
    events = []
    learner = Learner(events, [])
    learner.hosts = hosts
    rollbacks = Rollbacks(0, 1e-3, None, lambda learner: "the start")
    due = Due(end=9, line=3, save=100, evaluation=100)
    loop = Loop(learner, batches, due, Ending(events), None, rollbacks, progress=False)
    assert loop.go() == 0
    assert learner.global_step == last
