"""Causes: faults of the data, of the settings and of the weights, reported as soon as seen."""

from typing import Iterator

from albert.training.diagnosis.data import DataFacts
from albert.training.diagnosis.facts import Facts, Finding, state_of
from albert.training.diagnosis.probe import Movement

# Of the movement of the weight that moved most: below this share one has got no gradient. And where
# all movements are too small to compare.
_STILL = 1e-4
_MOVING = 1e-4


def data_findings(data: DataFacts) -> Iterator[Finding]:
    """What is wrong with the records."""
    if data.masked == 0:
        yield Finding(
            "nothing_masked",
            "No record has a masked position, so there is nothing to learn: build the records "
            "again with a --masked_lm_prob above 0.",
            {},
        )
        return
    if data.at_padding > 0.01:
        yield Finding(
            "masks_at_padding",
            "{:.0%} of the masked positions lie beyond the text: the records are wrong; build "
            "them again with create-pretraining-data.py and run python -m preprocess "
            "inspect.".format(data.at_padding),
            {"share": data.at_padding},
        )
    elif data.mask_share is not None and data.mask_share < 0.5:
        yield Finding(
            "mask_id_wrong",
            "Only {:.0%} of the masked positions show the vocabulary's [MASK] (80 % by "
            "design): build the records with the --spm_model_file of this run.".format(
                data.mask_share
            ),
            {"share": data.mask_share},
        )
    elif data.kept_share is not None and data.kept_share < 0.2:
        yield Finding(
            "labels_do_not_fit",
            "Of the masked positions that keep a piece only {:.0%} keep the right one (50 % by "
            "design): labels and positions are shifted against each other; build the records "
            "again.".format(data.kept_share),
            {"share": data.kept_share},
        )
    if min(data.cls_share, data.sep_share) < 0.9:
        yield Finding(
            "special_pieces_wrong",
            "{:.0%} of the examples begin with [CLS], {:.0%} of the segments end with [SEP]; all "
            "should: build the records with the --spm_model_file of this run.".format(
                data.cls_share, data.sep_share
            ),
            {"cls": data.cls_share, "sep": data.sep_share},
        )
    if data.examples >= 20 and data.commonest_example > 0.1:
        yield _duplicated("of the examples are one and the same", data.commonest_example)
    elif data.repeated_share > 0.3:
        yield _duplicated("of the text is there hundreds of times", data.repeated_share)


def _duplicated(what: str, share: float) -> Finding:
    return Finding(
        "duplicated_data",
        "{:.0%} {}: clean the text (python -m preprocess clean drops repeats) and build the "
        "records again.".format(share, what),
        {"share": share},
    )


def settings_findings(facts: Facts) -> Iterator[Finding]:
    """What is wrong with the flags."""
    s = facts.settings
    if s.decayed_norms and s.weight_decay > 0.0:
        yield Finding(
            "decay_on_norms",
            "{} scales and shifts of layer norms are under weight decay: keep LayerNorm in "
            "--exclude_from_weight_decay.".format(s.decayed_norms),
            {"parameters": s.decayed_norms, "weight_decay": s.weight_decay},
        )
    learning = state_of(facts) == "learning"
    if s.post_norm and not learning and s.num_warmup_steps * 200 < s.num_train_steps:
        yield Finding(
            "no_warm_up",
            "{} updates of warm-up are too few for layers that normalise after the residual: "
            "--num_warmup_steps={}.".format(s.num_warmup_steps, max(1, s.num_train_steps // 10)),
            {"num_warmup_steps": s.num_warmup_steps},
        )
    share = s.learning_rate / s.suggested_rate
    if not learning and not 0.1 <= share <= 10.0:
        yield Finding(
            "rate_too_low" if share < 1.0 else "rate_too_high",
            "The rate {:.3g} is {:.0f} times {} what suits this optimizer, model and batch: "
            "--learning_rate={:.2g}, or auto.".format(
                s.learning_rate,
                max(share, 1.0 / share),
                "below" if share < 1.0 else "above",
                s.suggested_rate,
            ),
            {"learning_rate": s.learning_rate, "suggested": s.suggested_rate},
        )


def movement_findings(movement: Movement, labelled: bool) -> Iterator[Finding]:
    """Which weights got no gradient; `labelled` tells whether there is a sentence task."""
    most = max(movement.turned.values())
    if most < _MOVING:
        return  # nothing moves yet: the rate is still 0
    still = sorted(n for n, turned in movement.turned.items() if turned < _STILL * most)
    if not labelled:  # no sentence task: its head and the pooler have nothing to learn from
        still = [n for n in still if not n.startswith(("bert/pooler/", "cls/seq_relationship/"))]
    if not still:
        return
    in_head = [name for name in still if name.startswith("cls/predictions/")]
    yield Finding(
        "head_without_gradient" if in_head else "frozen_weights",
        "{} of the weights got no gradient since the last look, first {}: {}.".format(
            len(still),
            (in_head or still)[0],
            "the head was initialised to zero; start it anew or from another --init_checkpoint"
            if in_head
            else "they are frozen; train all weights or start from another --init_checkpoint",
        ),
        {"weights": len(still)},
    )
