"""All findings about a run."""

from typing import List

from albert.training.diagnosis.causes import data_findings, movement_findings, settings_findings
from albert.training.diagnosis.facts import Facts, Finding, state_of
from albert.training.diagnosis.symptoms import run_findings, symptoms


def diagnose(facts: Facts) -> List[Finding]:
    """What is wrong with a run, causes before symptoms; empty for a healthy one."""
    found = list(data_findings(facts.data))
    found += settings_findings(facts)
    if facts.movement and facts.data.masked:
        found += movement_findings(facts.movement, facts.data.labelled > 0.0)
    found += run_findings(facts)
    if state_of(facts) in ("plateau", "diverged"):
        found += symptoms(facts)
    return found
