"""The masking rule: exact cases, statistics, and a slow sequential version of Google's."""

import random

import numpy as np
import pytest

from albert.records.masking import MaskRule, mask_tokens, ragged_to_matrix

CLS, SEP, MASK = 2, 3, 4
VOCAB = 1000
REPLACEMENTS = np.arange(5, VOCAB)


def rule(**changes):
    default = MaskRule(0.15, 77, 3, True, True, False, MASK, REPLACEMENTS)
    return default._replace(**changes)


def batch(count, seed=0, low=10, high=200, p_start=0.6):
    """Ragged examples [CLS] A [SEP] B [SEP] with random words."""
    rng = np.random.RandomState(seed)
    lengths = rng.randint(low, high + 1, count)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = rng.randint(5, VOCAB, offsets[-1])
    starts = rng.rand(offsets[-1]) < p_start
    special = np.zeros(offsets[-1], bool)
    for begin, end in zip(offsets[:-1], offsets[1:]):
        middle = rng.randint(begin + 2, end - 2)
        special[[begin, middle, end - 1]] = True
        ids[[begin, middle, end - 1]] = CLS, SEP, SEP
    keys = rng.randint(0, 2**62, count).astype(np.uint64)
    return ids, starts, special, offsets, keys


def words_of(starts, special, begin, end):
    """Positions of each word of one example, by the definition."""
    found = []
    for at in range(begin, end):
        if special[at]:
            continue
        if starts[at] or special[at - 1]:
            found.append([])
        found[-1].append(at)
    return found


def sequential_choice(groups, budget, ngram, rng):
    """Google's published loop over shuffled n-gram candidates, one example at a time."""
    weights = [1.0 / n for n in range(1, ngram + 1)]
    candidates = list(range(len(groups)))
    rng.shuffle(candidates)
    covered, count = set(), 0
    for start in candidates:
        if count >= budget:
            break
        available = min(ngram, len(groups) - start)
        n = rng.choices(range(1, available + 1), weights[:available])[0]
        size = sum(len(group) for group in groups[start : start + n])
        while count + size > budget and n > 1:
            n -= 1
            size = sum(len(group) for group in groups[start : start + n])
        chosen = set(range(start, start + n))
        if count + size > budget or chosen & covered:
            continue
        covered |= chosen
        count += size
    return covered


def runs(chosen):
    """Lengths of the runs of consecutive numbers."""
    lengths, last = [], None
    for number in sorted(chosen):
        if last is not None and number == last + 1:
            lengths[-1] += 1
        else:
            lengths.append(1)
        last = number
    return lengths


def test_structure_of_every_example():
    data = batch(400)
    ids, starts, special, offsets, _ = data
    masked = mask_tokens(rule(), *data)
    for i, (begin, end) in enumerate(zip(offsets[:-1], offsets[1:])):
        at = masked.positions[masked.offsets[i] : masked.offsets[i + 1]] + begin
        labels = masked.labels[masked.offsets[i] : masked.offsets[i + 1]]
        assert (np.diff(at) > 0).all() and (at < end).all()
        assert (ids[at] == labels).all() and not special[at].any()
        assert len(at) <= min(77, max(1, round((end - begin) * 0.15)))
        hidden = set(at)
        for word in words_of(starts, special, begin, end):
            assert hidden.issuperset(word) or hidden.isdisjoint(word)
    untouched = np.ones(len(ids), bool)
    row = np.repeat(np.arange(len(offsets) - 1), np.diff(masked.offsets))
    untouched[masked.positions + offsets[row]] = False
    assert (masked.input_ids[untouched] == ids[untouched]).all()
    assert not np.isin(masked.input_ids[~untouched], (0, 1, CLS, SEP)).any()


def test_rate_one_masks_every_piece():
    data = batch(20)
    masked = mask_tokens(rule(rate=1.0, max_predictions=10**6, ngram=1), *data)
    assert len(masked.labels) == (~data[2]).sum()


def test_rate_zero_masks_nothing():
    data = batch(20)
    masked = mask_tokens(rule(rate=0.0), *data)
    assert len(masked.labels) == 0 and (masked.input_ids == data[0]).all()


def test_masks_depend_on_the_key_alone():
    ids, starts, special, offsets, keys = batch(60)
    whole = mask_tokens(rule(), ids, starts, special, offsets, keys)
    for i in (0, 7, 59):
        one = slice(offsets[i], offsets[i + 1])
        ends = np.array([0, offsets[i + 1] - offsets[i]])
        alone = mask_tokens(rule(), ids[one], starts[one], special[one], ends, keys[i : i + 1])
        assert (alone.input_ids == whole.input_ids[one]).all()
    other = mask_tokens(rule(), ids, starts, special, offsets, keys + np.uint64(1))
    assert (other.input_ids != whole.input_ids).mean() > 0.15


def test_eighty_ten_ten_and_masked_fraction():
    data = batch(3000)
    masked = mask_tokens(rule(), *data)
    row = np.repeat(np.arange(3000), np.diff(masked.offsets))
    new = masked.input_ids[masked.positions + data[3][row]]
    assert len(new) / len(data[0]) == pytest.approx(0.15, abs=0.003)
    assert (new == MASK).mean() == pytest.approx(0.8, abs=0.008)
    assert (new == masked.labels).mean() == pytest.approx(0.1, abs=0.006)
    random_pieces = new[(new != MASK) & (new != masked.labels)]
    share = np.bincount(random_pieces, minlength=VOCAB)[5:] / len(random_pieces)
    assert share.max() < 6.0 / VOCAB and share[: VOCAB // 2].sum() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("shorter, first", [(True, (6, 3, 2)), (False, (2, 3, 6))])
def test_ngram_lengths_follow_one_over_n(shorter, first):
    """With three pieces to predict among 400 words, the runs tell the lengths drawn."""
    count = 4000
    lengths = np.full(count, 402)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    special = np.zeros(offsets[-1], bool)
    special[offsets[:-1]] = special[offsets[1:] - 1] = True
    ids = np.where(special, CLS, 7)
    keys = np.arange(count).astype(np.uint64) * np.uint64(7919)
    masked = mask_tokens(
        rule(max_predictions=3, favor_shorter_ngram=shorter),
        ids,
        np.ones(len(ids), bool),
        special,
        offsets,
        keys,
    )
    shapes = [
        tuple(sorted(runs(masked.positions[a:b])))
        for a, b in zip(masked.offsets[:-1], masked.offsets[1:])
    ]
    one, _, three = (weight / 11.0 for weight in first)
    # The second draw may be cut to what is left, hence "one and not one" gives (1, 2).
    assert shapes.count((3,)) / count == pytest.approx(three, abs=0.03)
    assert shapes.count((1, 1, 1)) / count == pytest.approx(one * one, abs=0.03)


def test_agrees_with_the_sequential_rule():
    ids, starts, special, offsets, keys = batch(1500, seed=3)
    masked = mask_tokens(rule(), ids, starts, special, offsets, keys)
    rng = random.Random(5)
    ours, theirs, sizes = [], [], [0, 0]
    for i, (begin, end) in enumerate(zip(offsets[:-1], offsets[1:])):
        groups = words_of(starts, special, begin, end)
        at = set(masked.positions[masked.offsets[i] : masked.offsets[i + 1]] + begin)
        mine = {w for w, group in enumerate(groups) if at.issuperset(group)}
        budget = min(77, max(1, int(round((end - begin) * 0.15))))
        reference = sequential_choice(groups, budget, 3, rng)
        ours += runs(mine)
        theirs += runs(reference)
        sizes[0] += len(at)
        sizes[1] += sum(len(groups[w]) for w in reference)
    assert sizes[0] == pytest.approx(sizes[1], rel=0.005)
    for length in (1, 2, 3, 4):
        share = [np.mean(np.array(found) == length) for found in (ours, theirs)]
        assert share[0] == pytest.approx(share[1], abs=0.015)


def test_without_whole_words_pieces_are_candidates():
    data = batch(300, p_start=0.2)
    masked = mask_tokens(rule(whole_word=False, ngram=1), *data)
    assert len(masked.labels) == np.maximum(1, np.rint(np.diff(data[3]) * 0.15)).sum()


def test_permutation_moves_pieces_among_themselves():
    ids, starts, special, offsets, keys = batch(100)
    plain = mask_tokens(rule(), ids, starts, special, offsets, keys)
    permuted = mask_tokens(rule(permute=True), ids, starts, special, offsets, keys)
    changed = permuted.input_ids != plain.input_ids
    assert changed.any() and len(permuted.labels) > 1.7 * len(plain.labels)
    for begin, end in zip(offsets[:-1], offsets[1:]):
        one = slice(begin, end)
        assert sorted(permuted.input_ids[one]) == sorted(plain.input_ids[one])
    row = np.repeat(np.arange(100), np.diff(permuted.offsets))
    assert (permuted.labels == ids[permuted.positions + offsets[row]]).all()


def test_examples_without_words_and_without_tokens():
    ids = np.array([CLS, SEP, CLS, 9, SEP])
    special = np.array([1, 1, 1, 0, 1], bool)
    keys = np.array([1, 2, 3], np.uint64)
    masked = mask_tokens(rule(), ids, np.ones(5, bool), special, np.array([0, 2, 2, 5]), keys)
    assert masked.offsets.tolist() == [0, 0, 0, 1] and masked.labels.tolist() == [9]


def test_ragged_rows_become_a_matrix():
    assert ragged_to_matrix(np.array([1, 2, 3]), np.array([0, 1, 1, 3]), 2).tolist() == [
        [1, 0],
        [0, 0],
        [2, 3],
    ]
