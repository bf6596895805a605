"""Masks drawn while training: the static rule, new words at every step, the same on resuming."""

import pickle

import numpy as np
import preprocess_corpus as corpus
import pytest
from conftest import order_of

from albert.data import packing
from albert.data.batches import training_batches
from albert.data.dataset import RecordDataset, Shapes
from albert.data.dynamic import MaskSchedule
from albert.records.manifest import manifest_path, read_manifest
from albert.records.options import RecordOptions
from albert.records.tfrecord import RecordError
from albert.system.errors import UsageError
from preprocess.engines import Execution
from preprocess.records.build import write_records

LENGTH = 64


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The same text as static and as unmasked records."""
    folder = tmp_path_factory.mktemp("dynamic")
    text = corpus.write_text(folder / "a.txt", corpus.documents())
    model = corpus.model()
    files = {}
    for masking in ("static", "dynamic"):
        files[masking] = str(folder / (masking + ".tfrecord"))
        options = RecordOptions(
            text, files[masking], model, masking=masking, max_seq_length=LENGTH, dupe_factor=1
        )
        write_records(options, Execution(num_workers=1, tqdm_off=True))
    return files


def open_records(path):
    dataset = RecordDataset([path])
    vocabulary = read_manifest(path).vocab_size
    return dataset, Shapes(*(dataset.record_lengths() + (vocabulary, 2)))


def original(batch):
    ids = batch["input_ids"].copy()
    for row, position, label, weight in zip(
        np.repeat(np.arange(len(ids)), batch["masked_lm_ids"].shape[1]),
        batch["masked_lm_positions"].ravel(),
        batch["masked_lm_ids"].ravel(),
        batch["masked_lm_weights"].ravel(),
    ):
        if weight:
            ids[row, position] = label
    return ids


def test_a_step_and_an_example_decide_the_masks(built):
    dataset, shapes = open_records(built["dynamic"])
    numbers = np.arange(40)
    first, again = (dataset.read(numbers, shapes, steps=3) for _ in range(2))
    other = dataset.read(numbers, shapes, steps=4)
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    np.testing.assert_array_equal(original(first), original(other))
    assert (first["masked_lm_positions"] != other["masked_lm_positions"]).any(axis=1).mean() > 0.9
    alone = dataset.read(numbers[7:8], shapes, steps=3)
    np.testing.assert_array_equal(alone["input_ids"][0], first["input_ids"][7])


def test_shapes_and_statistics_are_those_of_static_records(built):
    batches = {}
    for masking, path in built.items():
        dataset, shapes = open_records(path)
        batches[masking] = dataset.read(np.arange(min(dataset.size, 400)), shapes)
    static, dynamic = batches["static"], batches["dynamic"]
    assert {n: (v.shape[1:], v.dtype) for n, v in static.items()} == {
        n: (v.shape[1:], v.dtype) for n, v in dynamic.items()
    }
    for batch in batches.values():
        share = batch["masked_lm_weights"].sum() / batch["input_mask"].sum()
        assert share == pytest.approx(0.15, abs=0.01)
    mask = read_manifest(built["dynamic"]).special_ids.mask
    hidden = (dynamic["input_ids"] == mask).sum() / dynamic["masked_lm_weights"].sum()
    assert hidden == pytest.approx(0.8, abs=0.03)


def test_training_batches_resume_with_the_same_masks_and_pack(built):
    dataset, shapes = open_records(built["dynamic"])
    order = order_of(dataset.size, 8, seed=0)
    layout = packing.row_layout("pack", 8, 2, dataset.read(range(dataset.size), shapes))
    stream = training_batches(dataset, order, shapes, layout, first=0)
    batches = [next(stream) for _ in range(4)]
    resumed = next(training_batches(dataset, order, shapes, layout, first=3))
    for name, value in batches[3].items():
        np.testing.assert_array_equal(resumed[name], value)


def test_unmasked_records_without_their_manifest_are_refused(built, tmp_path):
    lonely = tmp_path / "lonely.tfrecord"
    with open(built["dynamic"], "rb") as source:
        lonely.write_bytes(source.read())
    with pytest.raises(RecordError, match="lonely.tfrecord.*Keep the manifest"):
        RecordDataset([str(lonely)])
    assert manifest_path(str(lonely)) == str(lonely) + ".manifest.json"


def test_the_share_that_is_hidden_follows_a_schedule(built):
    """From the share of the records, 0.15, to a third of it."""
    plain, shapes = open_records(built["dynamic"])
    schedule = MaskSchedule.parse("0.15:0.05", 100)
    scheduled = RecordDataset([built["dynamic"]], mask_schedule=schedule)
    numbers = np.arange(plain.size)

    def share(dataset, step):
        batch = dataset.read(numbers, shapes, step)
        return batch["masked_lm_weights"].sum() / batch["input_mask"].sum()

    assert share(scheduled, 0) == share(plain, 0) == pytest.approx(0.15, abs=0.02)
    assert share(scheduled, 50) == pytest.approx(0.1, abs=0.02)
    assert share(scheduled, 100) == pytest.approx(0.05, abs=0.02)
    assert share(scheduled, 400) == pytest.approx(0.05, abs=0.02)
    # A batch of several steps has the masks that each of them has.
    steps = np.where(numbers % 2, 50, 100)
    mixed = scheduled.read(numbers, shapes, steps)
    for step in (50, 100):
        alone = scheduled.read(numbers[steps == step], shapes, step)
        np.testing.assert_array_equal(mixed["input_ids"][steps == step], alone["input_ids"])
    assert share(pickle.loads(pickle.dumps(scheduled)), 50) == share(scheduled, 50)


@pytest.mark.parametrize("text", ["0.3", "0.3:1.5", "a:b", "0.3:0.2:0.1"])
def test_a_schedule_is_two_shares(text):
    with pytest.raises(UsageError, match="like 0.3:0.15. Received " + text):
        MaskSchedule.parse(text, 100)


def test_a_schedule_goes_with_the_records(built):
    with pytest.raises(UsageError, match="--masked_lm_prob=0.3"):
        RecordDataset([built["dynamic"]], mask_schedule=MaskSchedule(0.1, 0.3, 10))
    with pytest.raises(UsageError, match="--masking=dynamic"):
        RecordDataset([built["static"]], mask_schedule=MaskSchedule(0.1, 0.1, 10))
