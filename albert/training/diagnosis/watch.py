"""Watches a run: measures the facts at log lines and says once when something is wrong."""

import json
import os
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence

import numpy as np
from absl import logging

from albert.checkpoints.state import TrainState
from albert.data.source import Data
from albert.optim.optimizers import decayed_names
from albert.system.files.atomic import atomic_write
from albert.system.files.side import read_json_lines
from albert.training.diagnosis.data import DataFacts, data_facts
from albert.training.diagnosis.diagnose import diagnose
from albert.training.diagnosis.facts import LEFT_PLATEAU, Facts, Finding, Settings, state_of
from albert.training.diagnosis.probe import EXAMPLES, Movement, movement, output_facts, trust_facts
from albert.training.log.metrics import read_metrics
from albert.training.log.step_lines import append_line, cut_lines
from albert.training.options import TrainingOptions

FINDINGS_FILE = "findings.jsonl"
SETTINGS_FILE = "diagnosis_settings.json"


class Kept(NamedTuple):
    """What a diagnosis of the folder alone needs of the run."""

    input_file: str
    settings: Settings
    data: DataFacts


def settings_of(options: TrainingOptions, names: Iterable[str]) -> Settings:
    """The settings of a run that decide whether it learns.

    Args:
      options: The run.
      names: Of its weights.
    """
    decayed = decayed_names(names, options.optimizer.exclude_from_weight_decay)
    return Settings(
        optimizer=options.optimizer.name,
        learning_rate=options.learning_rate,
        suggested_rate=options.suggested_rate,
        num_train_steps=options.schedule.num_train_steps,
        num_warmup_steps=options.schedule.warmup_steps,
        post_norm=options.model.norm_placement == "postln",
        decayed_norms=sum("LayerNorm" in name for name in decayed),
        weight_decay=options.optimizer.weight_decay,
    )


class Watch:
    """What is known about one run so far."""

    def __init__(self, options: TrainingOptions, data: Data, state: TrainState) -> None:
        """Measures the data; later looks are cheap beside the updates between them.

        Args:
          options: The run.
          data: Its training records.
          state: Where it stands.
        """
        self._options, self._state = options, state
        self._settings = settings_of(options, state.parameters)
        self._data = data_facts(data)
        self._probe = data.rows(min(EXAMPLES, data.dataset.size))
        self._lines: List[Dict] = []
        self._entries: List[Dict] = []
        if options.saving.output_dir:
            self._lines = read_metrics(options.saving.output_dir)
            self._entries = read_json_lines(
                os.path.join(options.saving.output_dir, FINDINGS_FILE),
                {"name": str, "step": int, "state": str},
            )
            kept = Kept(options.data.input_file or "", self._settings, self._data)
            values = dict(
                kept._asdict(), settings=kept.settings._asdict(), data=kept.data._asdict()
            )
            with atomic_write(os.path.join(options.saving.output_dir, SETTINGS_FILE)) as handle:
                handle.write(json.dumps(values, indent=2) + "\n")
        self.go_back(int(state.global_step.numpy()))
        logging.info(
            "Word frequencies alone give %.3f nats and %.1f %% of the masked words",
            self._data.unigram_entropy,
            100 * self._data.top_piece_share,
        )

    @property
    def lines(self) -> Sequence[Dict]:
        """The metrics of the run so far."""
        return self._lines

    @property
    def floor(self) -> Dict[str, float]:
        """What word frequencies alone give, for the log and the pictures."""
        return {
            "unigram_entropy": self._data.unigram_entropy,
            "top_piece_share": self._data.top_piece_share,
        }

    def trust(self) -> Dict[str, float]:
        """Trust ratios for a line of the metrics, where there are any."""
        return trust_facts(self._options.optimizer, self._state)

    def go_back(self, step: int) -> None:
        """Forgets what was seen beyond a step: the run stands there."""
        self._lines = [line for line in self._lines if line["step"] <= step]
        self._entries = [entry for entry in self._entries if entry["step"] <= step]
        if self._options.saving.output_dir:
            cut_lines(os.path.join(self._options.saving.output_dir, FINDINGS_FILE), step)
        last = {entry["name"]: entry["state"] for entry in self._entries}
        self._names = {name for name, state in last.items() if state == "appeared"}
        self._weights = self._snapshot()
        self._step: Optional[int] = None

    def _snapshot(self) -> Dict[str, np.ndarray]:
        return {name: variable.numpy() for name, variable in self._state.parameters.items()}

    def look(self, line: Dict) -> List[Finding]:
        """Takes in a line of the metrics; logs and keeps what is newly wrong, or no longer."""
        self._lines.append(line)
        moved: Optional[Movement] = None
        if line["kind"] == "train":
            weights = self._snapshot()
            if self._step is not None:
                moved = movement(self._weights, weights, line["step"] - self._step)
            self._weights, self._step = weights, line["step"]
        facts = Facts(self._settings, self._data, self._lines, None, moved)
        if state_of(facts) in ("plateau", "diverged"):
            outputs = output_facts(self._options.model, self._weights, self._probe)
            facts = facts._replace(outputs=outputs)
        findings = diagnose(facts)
        self._report(findings, line["step"], moved is not None)
        return findings

    def _report(self, findings: List[Finding], step: int, complete: bool) -> None:
        names = {finding.name for finding in findings}
        for finding in findings:
            if finding.name not in self._names:
                logging.warning("Diagnosis at step %d: %s", step, finding.sentence)
                self._keep(dict(finding._asdict(), step=step, state="appeared"))
        for name in sorted(self._names - names if complete else ()):
            logging.info("Diagnosis at step %d: no longer %s", step, name)
            self._keep({"name": name, "step": step, "state": "gone"})
        self._names = names if complete else self._names | names

    def _keep(self, entry: Dict) -> None:
        self._entries.append(entry)
        if self._options.saving.output_dir:
            append_line(os.path.join(self._options.saving.output_dir, FINDINGS_FILE), entry)

    def evaluated(self, step: int) -> bool:
        """Whether a step has been evaluated."""
        return any(line["kind"] == "eval" and line["step"] == step for line in self._lines)

    def left_plateau(self) -> bool:
        """Whether any loss so far showed use of context."""
        bound = self._data.unigram_entropy - LEFT_PLATEAU
        return any(line.get("masked_lm_loss", bound) < bound for line in self._lines)
