"""Symptoms: what a run that does not learn looks like.

Healthy runs show some of them for a while, so `symptoms` is for runs on the plateau only.
"""

import math
import statistics
from typing import Any, Iterator, List, Mapping

from albert.training.diagnosis.facts import (
    LEFT_PLATEAU,
    Facts,
    Finding,
    judged_line,
    losses,
    state_of,
)
from albert.training.diagnosis.probe import TRUST_BAND

_SPIKE = 20.0
_SOP_PATIENCE = 20000
_ADVICE = {
    "plateau": "Change what the other findings name; without any, take a larger "
    "--train_batch_size or a recipe of albert_config/recipes.",
    "diverged": "Lower --learning_rate.",
}


def run_findings(facts: Facts) -> Iterator[Finding]:
    """What the metrics show."""
    lines = [line for line in losses(facts.lines) if line["kind"] == "train"]
    if lines:
        yield from _gradients(lines)
    yield from _loss(facts, lines)
    last = facts.lines[-1] if facts.lines else {}
    sop = last.get("sentence_order_accuracy", 1.0)
    if last.get("step", 0) >= _SOP_PATIENCE and abs(sop - 0.5) < 0.02:
        yield Finding(
            "sentence_order_at_chance",
            "Sentence order is still guessed ({:.3f}) after {} updates: give longer segments "
            "(--max_seq_length) or a larger --train_batch_size.".format(sop, last["step"]),
            {"sentence_order_accuracy": sop},
        )


def _gradients(lines: List[Mapping[str, Any]]) -> Iterator[Finding]:
    norms = [line["gradient_norm"] for line in lines if "gradient_norm" in line]
    if len(norms) >= 10 and norms[-1] > _SPIKE * statistics.median(norms[:-1]):
        yield Finding(
            "gradient_spike",
            "The gradient's norm is {:.3g}, {:.0f} times its usual size: lower --learning_rate or "
            "--clip_norm.".format(norms[-1], norms[-1] / statistics.median(norms[:-1])),
            {"gradient_norm": norms[-1]},
        )
    if lines[-1].get("skipped_steps", 0) > max(5, 0.01 * lines[-1]["step"]):
        yield Finding(
            "non_finite_steps",
            "{} steps had a gradient that is not finite: lower --learning_rate, or use "
            "--precision=mixed_bfloat16 instead of float16.".format(lines[-1]["skipped_steps"]),
            {"skipped_steps": lines[-1]["skipped_steps"]},
        )


def _loss(facts: Facts, lines: List[Mapping[str, Any]]) -> Iterator[Finding]:
    state, judged = state_of(facts), judged_line(facts.lines)
    if judged is None:
        return
    entropy = facts.data.unigram_entropy
    if state == "plateau" and lines and lines[-1]["masked_lm_loss"] < entropy - LEFT_PLATEAU:
        yield Finding(
            "overfitting",
            "Held-out masked-LM loss is {:.3f} while the training records give {:.3f}: they are "
            "learned by heart; give more text, or --masking=dynamic records.".format(
                judged["masked_lm_loss"], lines[-1]["masked_lm_loss"]
            ),
            {"held_out": judged["masked_lm_loss"], "train": lines[-1]["masked_lm_loss"]},
        )
    elif state in ("plateau", "diverged"):
        yield Finding(
            state,
            "Masked-LM loss {:.3f} (accuracy {:.3f}); word frequencies alone give {:.3f} and "
            "{:.3f}. {}".format(
                judged["masked_lm_loss"],
                judged.get("masked_lm_accuracy", math.nan),
                entropy,
                facts.data.top_piece_share,
                _ADVICE[state],
            ),
            {"masked_lm_loss": judged["masked_lm_loss"], "unigram_entropy": entropy},
        )


def symptoms(facts: Facts) -> Iterator[Finding]:
    """How outputs and weights of a run that does not learn look."""
    outputs = facts.outputs
    if outputs and outputs.position_cosine > 0.999:
        yield Finding(
            "identical_positions",
            "The hidden states of different masked positions are the same (cosine {:.4f}): the "
            "stack has collapsed; lower --learning_rate or lengthen --num_warmup_steps and "
            "start again.".format(outputs.position_cosine),
            {"cosine": outputs.position_cosine},
        )
    if outputs and outputs.example_cosine > 0.999:
        yield Finding(
            "identical_examples",
            "The pooled vectors of different examples are the same (cosine {:.4f}): sentence "
            "order cannot be learned; lower --learning_rate.".format(outputs.example_cosine),
            {"cosine": outputs.example_cosine},
        )
    if outputs and outputs.pooler_saturation > 0.5:
        yield Finding(
            "saturated_pooler",
            "{:.0%} of the pooler's units are saturated: in the brightmart layout start a new "
            'run with "final_layer_norm": true in the config, else lower '
            "--learning_rate.".format(outputs.pooler_saturation),
            {"share": outputs.pooler_saturation},
        )
    if facts.movement:
        typical = statistics.median(facts.movement.per_update.values())
        if not 1e-6 < typical < 5e-2:
            yield Finding(
                "updates_out_of_band",
                "An update changes a typical weight by {:.1e} of its size; 1e-5 to 1e-2 is "
                "usual: {} --learning_rate.".format(
                    typical, "raise" if typical < 1e-6 else "lower"
                ),
                {"update_to_weight": typical},
            )
    names = ("trust_ratio", "trust_ratios_out_of_band")
    trust = [line for line in facts.lines if all(name in line for name in names)][-1:]
    if trust and trust[0]["trust_ratios_out_of_band"] > 0.5:
        share, typical = trust[0]["trust_ratios_out_of_band"], trust[0]["trust_ratio"]
        yield Finding(
            "trust_ratios_out_of_band",
            "LAMB's trust ratio is out of {:g} to {:g} for {:.0%} of the tables and kernels "
            "(median {:.1e}): {}.".format(
                TRUST_BAND[0],
                TRUST_BAND[1],
                share,
                typical,
                "they are too small to move in proportion; raise initializer_range in the config"
                if typical < 1.0
                else "little of their gradient is left in an update; lower --adam_epsilon, or "
                "--learning_rate where the weights have grown",
            ),
            {"share": share, "median": typical},
        )
