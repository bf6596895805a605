"""The command that says whether a run learns, and if not, why."""

import json
from typing import List, Sequence

from absl import flags

from albert.system import command_line
from albert.system.errors import UsageError

USAGE = """Reads the folder of a finished or running training; exits with 1 if something is wrong.

  python -m albert diagnose pretraining_output
"""


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_bool("json", False, "Print one JSON object instead of sentences.")


def main(positional: List[str]) -> int:
    """Prints the findings about one run."""
    if len(positional) != 1:
        raise UsageError(
            "Pass the folder of one run: python -m albert diagnose pretraining_output. Received "
            "{}.".format(" ".join(positional) or "none")
        )
    from albert.training.diagnosis.diagnose import diagnose
    from albert.training.diagnosis.facts import judged_line, state_of
    from albert.training.diagnosis.folder import read_facts

    facts = read_facts(positional[0])
    state, findings = state_of(facts), diagnose(facts)
    if flags.FLAGS.json:
        print(json.dumps({"state": state, "findings": [f._asdict() for f in findings]}))
        return int(bool(findings))
    last = judged_line(facts.lines)
    if last:
        print(
            "Step {}: masked-LM loss {:.3f}, accuracy {:.3f}; {}".format(
                last["step"],
                last["masked_lm_loss"],
                last["masked_lm_accuracy"],
                _STATES[state],
            )
        )
    print(
        "Word frequencies alone give {:.3f} and {:.3f}.".format(
            facts.data.unigram_entropy, facts.data.top_piece_share
        )
    )
    for finding in findings:
        print("{}: {}".format(finding.name, finding.sentence))
    if not last:
        print("No step has a measured loss yet: whether it learns cannot be told.")
    elif not findings:
        print("Nothing wrong was found.")
    return int(bool(findings))


_STATES = {
    "young": "too early to tell whether it learns.",
    "plateau": "it sits on the plateau.",
    "diverged": "it has diverged.",
    "learning": "it learns from context.",
}


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
