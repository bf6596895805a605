"""Each rule of the diagnosis on facts made by hand."""

import argparse
import json

import numpy as np
import pytest
from manifests import manifest

from albert.commands import diagnose as command
from albert.training.diagnosis import folder
from albert.training.diagnosis.data import measure
from albert.training.diagnosis.diagnose import diagnose
from albert.training.diagnosis.facts import Facts, Settings, state_of
from albert.training.diagnosis.folder import learned_nothing
from albert.training.diagnosis.probe import Movement, OutputFacts, movement
from albert.training.diagnosis.watch import SETTINGS_FILE

SETTINGS = Settings(
    optimizer="adamw",
    learning_rate=1e-3,
    suggested_rate=1e-3,
    num_train_steps=50000,
    num_warmup_steps=5000,
    post_norm=True,
    decayed_norms=0,
    weight_decay=0.01,
)
OUTPUTS = OutputFacts(position_cosine=0.3, example_cosine=0.5, pooler_saturation=0.1)


MANIFEST = manifest(dupe_factor=5)
CLS, SEP = 2, 3


def batch(examples=64, length=12, predictions=3, seed=0, texts=None):
    """Two segments an example, [CLS] and [SEP] where they belong; `texts` of them are distinct."""
    random = np.random.RandomState(seed)
    ids = random.randint(5, 100, (texts or examples, length))
    ids = ids[np.arange(examples) % len(ids)]
    ids[:, 0], ids[:, 5], ids[:, -1] = CLS, SEP, SEP
    free = np.setdiff1d(np.arange(length), [0, 5, length - 1])
    places = np.argsort(random.rand(examples, len(free)))[:, :predictions]
    positions = np.sort(free[places], axis=1)
    labels = np.take_along_axis(ids, positions, axis=1)
    fate = random.rand(examples, predictions)
    shown = np.where(fate < 0.8, 4, np.where(fate < 0.9, labels, 100))
    np.put_along_axis(ids, positions, shown, axis=1)
    return {
        "input_ids": ids,
        "input_mask": np.ones((examples, length), np.int64),
        "segment_ids": np.tile((np.arange(length) > 5).astype(np.int64), (examples, 1)),
        "masked_lm_positions": positions,
        "masked_lm_ids": labels,
        "masked_lm_weights": np.ones((examples, predictions), np.float32),
        "sentence_order_labels": np.zeros(examples, np.int64),
    }


DATA = measure(batch(), MANIFEST, 64)._replace(unigram_entropy=7.0, top_piece_share=0.035)


def lines(loss, step=30000, kind="train", **more):
    values = dict(masked_lm_loss=loss, masked_lm_accuracy=0.03, gradient_norm=1.0, **more)
    return [dict(values, kind=kind, step=step)]


def names(**changes):
    facts = Facts(SETTINGS, DATA, lines(5.0), OUTPUTS, None)._replace(**changes)
    return [finding.name for finding in diagnose(facts)]


def test_records_as_they_should_be():
    facts = measure(batch(examples=2000), MANIFEST, 2000)
    assert facts.mask_share == pytest.approx(0.8, abs=0.02)
    assert facts.kept_share == pytest.approx(0.5, abs=0.05)
    assert facts.at_padding == 0.0 and facts.labelled == 1.0
    assert facts.commonest_example < 0.01
    assert names(data=facts._replace(unigram_entropy=7.0)) == []


def test_the_entropy_is_that_of_the_masked_pieces():
    made = batch(examples=4)
    made["masked_lm_ids"][:] = [[7, 7, 9]] * 4
    facts = measure(made, None, len(made["input_ids"]))
    assert facts.unigram_entropy == pytest.approx(-(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3)))
    assert facts.top_piece_share == pytest.approx(2 / 3)


def test_a_mask_that_covers_nothing():
    made = batch()
    made["masked_lm_weights"][:] = 0.0
    assert names(data=measure(made, MANIFEST, len(made["input_ids"])))[0] == "nothing_masked"


def test_swapped_halves_count_as_repeats():
    made = batch()
    original = made["input_ids"].copy()
    np.put_along_axis(original, made["masked_lm_positions"], made["masked_lm_ids"], axis=1)
    made["input_ids"][:] = np.roll(original[0], 6)
    made["masked_lm_weights"][:, 1:] = 0.0
    made["masked_lm_ids"][:] = np.take_along_axis(
        made["input_ids"], made["masked_lm_positions"], axis=1
    )
    assert measure(made, MANIFEST, len(made["input_ids"])).commonest_example == 1.0


@pytest.mark.parametrize("told", [MANIFEST, None], ids=["ours", "the originals'"])
def test_special_pieces_in_their_places_are_no_fault(told):
    other = {} if told else {CLS: 101, SEP: 102}  # ids that no manifest names
    made = batch()
    for old, new in other.items():
        made["input_ids"][made["input_ids"] == old] = new
    made["input_ids"][:9, 6:], made["input_mask"][:9, 6:] = 0, 0  # padded: one segment
    made["segment_ids"][:9] = 0
    made["masked_lm_weights"][:9] = 0.0
    facts = measure(made, told, 64)
    assert (facts.cls_share, facts.sep_share) == (1.0, 1.0)


def swap(ids):
    ids[:] = np.select([ids == CLS, ids == SEP], [SEP, CLS], ids)


def cut(ids):
    ids[:, -1] = np.arange(len(ids)) % 7 + 50


@pytest.mark.parametrize("told,fault", [(MANIFEST, swap), (MANIFEST, cut), (None, cut)])
def test_wrong_special_pieces(told, fault):
    made = batch()
    fault(made["input_ids"])
    facts = measure(made, told, 64)._replace(unigram_entropy=7.0)
    assert names(data=facts) == ["special_pieces_wrong"]


def sampled(records, copies, dupe_factor=None, examples=2048, words=9):
    """The facts of a sample from records that hold each text so many times."""
    random = np.random.RandomState(3)
    made = batch(texts=max(1, records // copies), examples=records, length=words + 3)
    chosen = np.sort(random.permutation(records)[:examples])
    told = manifest(dupe_factor=dupe_factor) if dupe_factor else None
    facts = measure({name: value[chosen] for name, value in made.items()}, told, records)
    return facts._replace(unigram_entropy=7.0)


@pytest.mark.parametrize(
    "records,copies,dupe_factor",
    [
        (2000, 40, None),  # every text as often as the originals' scripts repeat it, all seen
        (2000, 40, 40),
        (2000, 90, 5),  # a small corpus, built many times over
        (30000, 40, None),
        (200000, 40, None),
        (40000, 20, 20),  # the worst case by chance: one twin in the sample means 20 others
        (200000, 1, 1),
    ],
)
def test_texts_repeated_as_intended_are_no_fault(records, copies, dupe_factor):
    facts = sampled(records, copies, dupe_factor)
    assert facts.repeated_share < 0.2 and names(data=facts) == []


@pytest.mark.parametrize(
    "records,copies,dupe_factor",
    [(4500, 300, 5), (4500, 300, None), (60000, 300, 5), (200000, 300, 10), (60000, 500, None)],
)
def test_many_texts_repeated_hundreds_of_times(records, copies, dupe_factor):
    facts = sampled(records, copies, dupe_factor)
    assert facts.commonest_example < 0.1
    assert names(data=facts) == ["duplicated_data"]


def test_short_examples_may_be_the_same():
    made = batch(examples=2000, length=40)
    made["input_ids"][:1200, 6:], made["input_mask"][:1200, 6:] = 0, 0
    made["input_ids"][:1200, 1:5] = 10 + np.arange(1200)[:, np.newaxis] % 11
    made["segment_ids"][:1200] = 0
    made["masked_lm_weights"][:1200] = 0.0
    facts = measure(made, MANIFEST, 2000)._replace(unigram_entropy=7.0)
    assert 0.1 < facts.repeated_share < 0.3 and names(data=facts) == []


@pytest.mark.parametrize(
    "median,share,wrong", [(98.0, 0.9, True), (1e-6, 1.0, True), (5.0, 0.2, False)]
)
def test_trust_ratios_out_of_band(median, share, wrong):
    found = {"trust_ratio": median, "trust_ratios_out_of_band": share}
    assert ("trust_ratios_out_of_band" in names(lines=lines(7.0, **found))) == wrong
    assert names(lines=lines(5.0, **found)) == []  # a run that learns


def test_a_long_warm_up_does_not_hide_a_plateau():
    settings = SETTINGS._replace(num_train_steps=10**6, num_warmup_steps=10**5)
    assert names(settings=settings, lines=lines(7.0, 10000)) == ["plateau"]


def test_no_warm_up_is_no_fault_of_a_run_that_learns():
    settings = SETTINGS._replace(num_warmup_steps=0)
    assert names(settings=settings) == []
    assert names(settings=settings, lines=lines(7.2, 10)) == ["no_warm_up"]


def test_permuted_records_have_another_design():
    assert names(data=DATA._replace(mask_share=None, kept_share=None)) == []


@pytest.mark.parametrize(
    "loss,step,state",
    [(7.2, 100, "young"), (7.0, 30000, "plateau"), (6.8, 100, "learning"), (5.0, 9, "learning")],
)
def test_states(loss, step, state):
    assert state_of(Facts(SETTINGS, DATA, lines(loss, step), None, None)) == state


@pytest.mark.parametrize("loss,nothing", [(7.0, True), (9.0, True), (5.0, False)])
def test_a_folder_tells_whether_its_run_learned(tmp_path, caplog, loss, nothing):
    assert not learned_nothing(str(tmp_path))
    settings = tmp_path / SETTINGS_FILE
    kept = {"input_file": "x", "settings": SETTINGS._asdict(), "data": DATA._asdict()}
    settings.write_text(json.dumps(kept))
    (tmp_path / "metrics.jsonl").write_text(json.dumps(lines(loss)[0]) + "\n")
    assert learned_nothing(str(tmp_path)) == nothing
    settings.write_text("{")
    assert not learned_nothing(str(tmp_path)) and "Not known whether" in caplog.text


def test_a_loss_that_rose_has_diverged_and_held_out_loss_is_what_counts():
    risen = lines(6.0, 10000) + lines(9.0, 30000)
    assert state_of(Facts(SETTINGS, DATA, risen, None, None)) == "diverged"
    learned_by_heart = lines(7.0, 30000, kind="eval") + lines(2.0, 30000)
    assert state_of(Facts(SETTINGS, DATA, learned_by_heart, None, None)) == "plateau"
    assert names(lines=learned_by_heart) == ["overfitting"]


def test_symptoms_are_named_on_the_plateau_only():
    collapsed = OutputFacts(0.9999, 0.9999, 0.9)
    assert names(outputs=collapsed) == []
    found = names(outputs=collapsed, lines=lines(7.0))
    assert found == ["plateau", "identical_positions", "identical_examples", "saturated_pooler"]


@pytest.mark.parametrize("per_update,wrong", [(1e-3, False), (1e-8, True), (0.5, True)])
def test_updates_beside_weights(per_update, wrong):
    moved = Movement({"a": 0.1}, {"a": per_update})
    assert ("updates_out_of_band" in names(lines=lines(7.0), movement=moved)) == wrong


def test_spikes_skipped_steps_and_chance():
    norms = [dict(lines(5.0, step)[0]) for step in range(1000, 13000, 1000)]
    norms[-1]["gradient_norm"] = 50.0
    assert names(lines=norms) == ["gradient_spike"]
    assert names(lines=lines(5.0, skipped_steps=900)) == ["non_finite_steps"]
    assert names(lines=lines(5.0, sentence_order_accuracy=0.505)) == ["sentence_order_at_chance"]
    assert names(lines=lines(5.0, sentence_order_accuracy=0.9)) == []


def test_weights_that_only_decay_have_no_gradient():
    random = np.random.RandomState(0)
    old = {name: random.randn(8, 9).astype(np.float32) for name in ("a", "b", "cls/predictions/x")}
    new = {name: value + 0.01 * random.randn(8, 9) for name, value in old.items()}
    new["a"] = (0.99 * old["a"]).astype(np.float32)
    assert names(movement=movement(old, new, 10)) == ["frozen_weights"]
    new["cls/predictions/x"] = old["cls/predictions/x"]
    assert names(movement=movement(old, new, 10)) == ["head_without_gradient"]
    assert names(movement=movement(old, old, 10)) == []  # the rate is still 0


def test_a_head_without_labels_is_no_fault():
    moved = Movement({"a": 0.1, "b": 0.1, "cls/seq_relationship/output_weights": 0.0}, {"a": 1e-3})
    assert names(movement=moved) == ["frozen_weights"]
    assert names(movement=moved, data=DATA._replace(labelled=0.0)) == []


def test_a_run_without_a_measured_step_is_not_called_healthy(monkeypatch, capsys):
    monkeypatch.setattr(folder, "read_facts", lambda path: Facts(SETTINGS, DATA, [], None, None))
    monkeypatch.setattr(command.flags, "FLAGS", argparse.Namespace(json=False))
    assert command.main(["a run"]) == 0
    printed = capsys.readouterr().out
    assert "No step has a measured loss yet" in printed and "Nothing wrong" not in printed
