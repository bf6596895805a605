"""Where metrics go beside the files of a run: TensorBoard, Weights & Biases, MLflow."""

import importlib.util
import json
import os
import time
import uuid
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional

from absl import logging

from albert.system.errors import UsageError, check_one_of
from albert.system.files.atomic import atomic_write
from albert.system.files.side import read_json_object

TENSORBOARD_DIRECTORY = "tensorboard"
TRACKERS_FILE = "trackers.json"  # by which names the run goes on there
_PROJECT = "albert"


class Tracker:
    """One of them, at work."""

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Adds the values of a step; `kind` is "train" or "eval"."""
        raise NotImplementedError

    def go_back(self, step: int) -> None:
        """Takes back what is beyond a step, where that can be done."""

    def close(self) -> None:
        """Writes what is left."""


class TensorBoard(Tracker):
    """Event files, a folder for each kind, so that both are curves of one chart."""

    def __init__(self, directory: str) -> None:
        """Writes into `directory`/train and `directory`/eval."""
        self._directory = directory
        self._writers: Dict[str, Any] = {}

    def _writer(self, kind: str) -> Any:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if kind not in self._writers:
            self._writers[kind] = EventFileWriter(os.path.join(self._directory, kind))
        return self._writers[kind]

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Adds scalars under the same names for both kinds."""
        from tensorboard.compat.proto import event_pb2, summary_pb2

        scalars = [
            summary_pb2.Summary.Value(tag=name, simple_value=float(value))
            for name, value in values.items()
        ]
        summary = summary_pb2.Summary(value=scalars)
        event = event_pb2.Event(wall_time=time.time(), step=step, summary=summary)
        self._writer(kind).add_event(event)

    def go_back(self, step: int) -> None:
        """Makes TensorBoard leave out what it has beyond the step."""
        from tensorboard.compat.proto import event_pb2

        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        for kind in ("train", "eval"):
            if os.path.isdir(os.path.join(self._directory, kind)):
                event = event_pb2.Event(wall_time=time.time(), step=step + 1, session_log=start)
                self._writer(kind).add_event(event)

    def close(self) -> None:
        """Flushes the files."""
        for writer in self._writers.values():
            writer.close()


class _Remote(Tracker):
    """One that knows the run by a name."""

    name: str


class _WeightsAndBiases(_Remote):
    """A run of wandb; WANDB_MODE=offline keeps it in the folder."""

    def __init__(self, place: "Place", known: Optional[str]) -> None:
        import wandb

        self.name = known or uuid.uuid4().hex[:8]
        self._run = wandb.init(
            id=self.name,
            resume="allow",
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=place.name,
            dir=place.directory,
            config=dict(place.settings),
            settings=wandb.Settings(console="off"),  # the screen is ours
        )
        # A step of its own: wandb's must not go back, but a run may.
        self._run.define_metric("*", step_metric="step")

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        named = {"{}/{}".format(kind, name): value for name, value in values.items()}
        self._run.log(dict(named, step=step))

    def close(self) -> None:
        self._run.finish()


class _MLflow(_Remote):
    """A run of MLflow, in MLFLOW_TRACKING_URI or else in a file in the folder."""

    def __init__(self, place: "Place", known: Optional[str]) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Param

        own = "sqlite:///{}".format(os.path.join(os.path.abspath(place.directory), "mlflow.db"))
        self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or own)
        if known:
            self.name = known
            self._client.update_run(known, "RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self._client.create_experiment(name)
        self.name = self._client.create_run(number, run_name=place.name).info.run_id
        params = [Param(key, value) for key, value in place.settings.items()]
        self._client.log_batch(self.name, params=params)

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric("{}/{}".format(kind, name), float(value), now, step)
            for name, value in values.items()
        ]
        self._client.log_batch(self.name, metrics=metrics)

    def close(self) -> None:
        self._client.set_terminated(self.name)


class Place(NamedTuple):
    """A run, for those who track it.

    Attributes:
      directory: Its folder.
      settings: Its flags, as text.
      tensorboard_dir: Where TensorBoard's events go; None for a folder in `directory`.
    """

    directory: str
    settings: Mapping[str, str] = {}
    tensorboard_dir: Optional[str] = None

    @property
    def name(self) -> str:
        """What it is called there."""
        return os.path.basename(os.path.abspath(self.directory))


_TENSORBOARD = "tensorboard"
_OTHERS: Dict[str, Callable[[Place, Optional[str]], _Remote]] = {
    "mlflow": _MLflow,
    "wandb": _WeightsAndBiases,
}
TRACKERS = (_TENSORBOARD, *_OTHERS)


def check_trackers(names: str) -> None:
    """Refuses a comma list that names what is not known or not installed.

    Raises:
      UsageError: With the command that installs it.
    """
    for name in filter(None, names.split(",")):
        check_one_of("tracker", name, TRACKERS)
        if name in _OTHERS and importlib.util.find_spec(name) is None:
            raise UsageError(
                "--tracker={0} needs {0}, which is an extra: pip install 'albert-pretraining[{0}]' "
                "(Python 3.10 or newer), or leave it out.".format(name)
            )


def open_trackers(names: str, place: Place) -> List[Tracker]:
    """Those of a comma list, ready to write; a run that goes on does so there, too.

    Raises:
      UsageError: One of them does not begin.
    """
    path = os.path.join(place.directory, TRACKERS_FILE)
    known = read_json_object(path) if os.path.exists(path) else {}
    found: List[Tracker] = []
    for name in dict.fromkeys(filter(None, names.split(","))):
        if name == _TENSORBOARD:
            own = os.path.join(place.directory, TENSORBOARD_DIRECTORY)
            found.append(TensorBoard(place.tensorboard_dir or own))
            continue
        try:
            tracker = _OTHERS[name](place, known.get(name))
        except Exception as error:  # of a library, its network, its login
            reason = str(error).strip().split("\n")[0]
            raise UsageError("--tracker={} does not begin: {}.".format(name, reason)) from error
        known[name] = tracker.name
        found.append(_Forgiving(name, tracker))
    if found and known:
        with atomic_write(path) as handle:
            json.dump(known, handle)
    return found


class _Forgiving(Tracker):
    """No training ends because a tracker does not answer: that is said once, and it is left."""

    def __init__(self, name: str, tracker: Tracker) -> None:
        self._name, self._tracker = name, tracker
        self._lost = False

    def _try(self, what: Callable[..., None], *arguments: Any) -> None:
        if self._lost:
            return
        try:
            what(*arguments)
        except Exception as error:  # of a library and its network
            self._lost = True
            reason = str(error).strip().split("\n")[0]
            logging.warning("%s gets nothing more of this run: %s", self._name, reason)

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        self._try(self._tracker.write, kind, step, values)

    def close(self) -> None:
        self._try(self._tracker.close)
