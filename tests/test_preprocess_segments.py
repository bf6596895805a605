"""Cutting documents into pairs: labels, coverage, and Google's sequential rule."""

import random

import numpy as np
import pytest

from albert.records.options import RecordOptions
from preprocess.records.instances.encoding import Documents, concatenate
from preprocess.records.instances.segments import segment


def options(**changes):
    settings = dict(input_file="x", output_file="y", spm_model_file="z", max_seq_length=64)
    settings.update(changes)
    return RecordOptions(**settings)


def corpus(count=200, seed=0, sentences=12, single=0.2):
    """Documents whose pieces are all different: piece = document * 1000 + position."""
    rng = np.random.RandomState(seed)
    ids, sentence_offsets, document_offsets = [], [0], [0]
    for document in range(count):
        number = 1 if rng.rand() < single else rng.randint(2, sentences + 1)
        position = 0
        for length in rng.randint(3, 20, number):
            ids += [document * 1000 + position + k for k in range(length)]
            position += length
            sentence_offsets.append(len(ids))
        document_offsets.append(len(sentence_offsets) - 1)
    keys = np.arange(count).astype(np.uint64) * np.uint64(2654435761) + np.uint64(seed)
    return Documents(np.array(ids), np.array(sentence_offsets), np.array(document_offsets), keys)


def examples(instances):
    """(first, second, label) of every instance."""
    ends = np.cumsum(instances.first + instances.second)
    for i, end in enumerate(ends):
        begin = end - instances.first[i] - instances.second[i]
        cut = begin + instances.first[i]
        yield instances.ids[begin:cut], instances.ids[cut:end], int(instances.labels[i])


def sequential(documents, length, short, task, rng):
    """Google's loop; yields (pieces in A, pieces in B, label) with one-sentence chunks as None."""
    for document in range(len(documents.keys)):
        bounds = documents.document_offsets[document : document + 2]
        sentences = [
            documents.sentence_offsets[s + 1] - documents.sentence_offsets[s]
            for s in range(*bounds)
        ]
        most = length - 3
        target = rng.randint(2, most) if rng.random() < short else most
        chunk = []
        for i, size in enumerate(sentences):
            chunk.append(size)
            if i < len(sentences) - 1 and sum(chunk) < target:
                continue
            if len(chunk) == 1:
                yield chunk[0], 0, None
            else:
                cut = rng.randint(1, len(chunk) - 1)
                a, b = sum(chunk[:cut]), sum(chunk[cut:])
                swapped = task == "sop" and rng.random() < 0.5
                if swapped:
                    a, b = b, a
                while a + b > most:
                    if a > b:
                        a -= 1
                    else:
                        b -= 1
                yield a, b, int(swapped)
            chunk = []


def test_sentence_order_examples_come_from_one_document():
    instances, *_ = segment(corpus(), options())
    labels = []
    for first, second, label in examples(instances):
        labels.append(label)
        documents = set((np.concatenate([first, second]) // 1000).tolist())
        assert len(documents) == 1
        assert (np.diff(first) == 1).all() and (np.diff(second) == 1).all()
        if len(second) == 0:
            assert label == -1 and len(first) <= 62
        else:
            assert label in (0, 1) and len(first) + len(second) <= 61
            assert (first[0] > second[0]) == (label == 1)
    share = np.mean([label == 1 for label in labels if label >= 0])
    assert share == pytest.approx(0.5, abs=0.05)
    assert (np.diff(instances.keys.astype(np.float64)) >= 0).all()


def test_one_sentence_documents_are_unlabelled_in_order_tasks():
    documents = corpus(single=1.0)
    for task in ("sop", "none"):
        instances, dropped, _ = segment(documents, options(sentence_task=task, min_pieces=5))
        assert set(instances.labels.tolist()) == {-1} and not instances.second.any()
        assert instances.first.min() == 5
        lengths = np.diff(documents.sentence_offsets)
        assert dropped == 5 * (lengths < 5).sum()


def test_every_piece_is_used_once_per_duplicate():
    documents = corpus(sentences=4)
    long_enough = options(max_seq_length=128, short_seq_prob=0.0, min_pieces=1)
    instances, *_ = segment(documents, long_enough)
    assert sorted(instances.ids) == sorted(np.repeat(documents.ids, 5))


@pytest.mark.parametrize("short", [0.0, 0.1, 1.0])
def test_lengths_agree_with_the_sequential_rule(short):
    documents = corpus(600, sentences=30)
    ours, *_ = segment(documents, options(short_seq_prob=short, dupe_factor=10, min_pieces=1))
    rng = random.Random(1)
    theirs = []
    for _ in range(10):
        theirs += list(sequential(documents, 64, short, "sop", rng))
    assert len(ours.labels) == pytest.approx(len(theirs), rel=0.04)
    pairs = np.array([(a, b) for a, b, label in theirs if label is not None])
    mine = ours.second > 0
    assert mine.sum() == pytest.approx(len(pairs), rel=0.05)
    for column, lengths in enumerate((ours.first[mine], ours.second[mine])):
        for quantile in (0.1, 0.25, 0.5, 0.75, 0.9):
            assert np.quantile(lengths, quantile) == pytest.approx(
                np.quantile(pairs[:, column], quantile), abs=1.5
            )


def test_truncation_takes_from_both_ends():
    documents = corpus(600, sentences=30)
    instances, *_ = segment(documents, options(max_seq_length=24, short_seq_prob=0.0))
    pairs = [(a, b) for a, b, label in examples(instances) if label >= 0]
    assert max(len(a) + len(b) for a, b in pairs) == 21
    gaps = np.array([min(abs(b[0] - a[-1]), abs(a[0] - b[-1])) for a, b in pairs])
    assert (gaps > 1).mean() > 0.3 and (gaps == 1).mean() > 0.05


def test_next_sentence_random_b_comes_from_another_document():
    documents = corpus(300)
    instances, *_ = segment(documents, options(sentence_task="nsp"))
    assert set(instances.labels.tolist()) == {0, 1} and instances.second.min() > 0
    for first, second, label in examples(instances):
        same = first[0] // 1000 == second[0] // 1000
        assert same == (label == 0)
        assert len(set((second // 1000).tolist())) == 1
        if label == 0:
            assert second[0] >= first[-1] + 1
    single = np.diff(documents.document_offsets) == 1
    by_document = {d: [] for d in np.flatnonzero(single)}
    for first, _, label in examples(instances):
        by_document.get(first[0] // 1000, []).append(label)
    assert all(set(labels) == {1} for labels in by_document.values())


def test_next_sentence_draws_from_the_whole_pool():
    own, other = corpus(3), corpus(50, seed=8)
    other = other._replace(ids=other.ids + 10**6)
    pool = concatenate([own, other])
    instances, *_ = segment(own, options(sentence_task="nsp", dupe_factor=60), pool)
    from_pool = [b[0] >= 10**6 for _, b, label in examples(instances) if label == 1]
    assert np.mean(from_pool) == pytest.approx(50 / 52, abs=0.06)


def test_no_sentence_task_fills_single_segments():
    instances, *_ = segment(corpus(sentences=30), options(sentence_task="none"))
    assert set(instances.labels.tolist()) == {-1} and instances.first.max() == 62


def test_a_document_is_cut_the_same_way_wherever_it_stands():
    documents = corpus(40)
    both, *_ = segment(concatenate([corpus(5, seed=4), documents]), options())
    alone, *_ = segment(documents, options())
    assert set(alone.keys.tolist()) <= set(both.keys.tolist())
