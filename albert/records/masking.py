"""The masked-LM rule of ALBERT on many examples at once, as a pure function of their keys.

Rule (Google's ALBERT `create_pretraining_data`, after Joshi et al., SpanBERT, 2019): the words of
an example are visited in random order; at each, an n-gram of 1..ngram words starts with
p(n) ~ 1/n; it is shortened while it exceeds what is left of the budget, and skipped when it still
does or touches a word already chosen. The budget is min(max_predictions, max(1, round(rate *
length))), counted in pieces with the special pieces in the length. Of the chosen pieces 80 %
become the mask piece, 10 % a random ordinary piece, 10 % stay.

Unlike the original, a word never continues across a separator, a special piece is never a random
replacement, and every draw follows from the example's key (see `counter_rng`).

Examples are ragged: the tokens of all of them stand one after another in flat arrays, and
`offsets` ([n + 1]) says where each begins and ends.
"""

from typing import NamedTuple, Union

import numpy as np

from albert.records import counter_rng
from albert.records.options import RecordOptions


class MaskRule(NamedTuple):
    """What is masked, how much, and by what.

    Attributes:
      rate: Share of the pieces of an example to predict, of all or [n] of each.
      max_predictions: Upper limit of that number.
      ngram: Longest run of words masked together.
      favor_shorter_ngram: p(n) ~ 1/n; False reverses the weights.
      whole_word: Mask all pieces of a word or none.
      permute: Also shuffle a second, equally large choice of pieces among themselves.
      mask_id: The id that hides a piece.
      replacements: [r] ids a random replacement is drawn from: no special pieces.
    """

    rate: Union[float, np.ndarray]
    max_predictions: int
    ngram: int
    favor_shorter_ngram: bool
    whole_word: bool
    permute: bool
    mask_id: int
    replacements: np.ndarray


def mask_rule(options: RecordOptions, mask_id: int, replacements: np.ndarray) -> MaskRule:
    """The rule that the options of a build describe, for a vocabulary."""
    return MaskRule(
        rate=options.masked_lm_prob,
        max_predictions=options.predictions,
        ngram=options.ngram,
        favor_shorter_ngram=options.favor_shorter_ngram,
        whole_word=options.do_whole_word_mask,
        permute=options.do_permutation,
        mask_id=mask_id,
        replacements=replacements,
    )


class Masked(NamedTuple):
    """Flat masked tokens and, as flat arrays too, what is to be predicted.

    Attributes:
      input_ids: [t] tokens after masking.
      positions: [m] position of each prediction in its example, ascending.
      labels: [m] the token that stood there.
      offsets: [n + 1] where the predictions of each example begin.
      wanted: [n] predictions the rate alone asks for, before `max_predictions`.
    """

    input_ids: np.ndarray
    positions: np.ndarray
    labels: np.ndarray
    offsets: np.ndarray
    wanted: np.ndarray


class _Words(NamedTuple):
    """The maskable units of all examples, numbered through.

    Attributes:
      token_word: [t] word of each token, -1 for a special piece.
      offsets: [n + 1] first word of each example.
      cumulative: [w + 1] tokens in all words before.
    """

    token_word: np.ndarray
    offsets: np.ndarray
    cumulative: np.ndarray


def mask_tokens(
    rule: MaskRule,
    ids: np.ndarray,
    word_starts: np.ndarray,
    special: np.ndarray,
    offsets: np.ndarray,
    keys: np.ndarray,
) -> Masked:
    """Draws the masks of n examples.

    Args:
      rule: What to do.
      ids: [t] tokens with the special pieces in place.
      word_starts: [t] truthy where a word starts.
      special: [t] truthy for pieces that are never masked (class, separator).
      offsets: [n + 1] where each example begins in the flat arrays; offsets[-1] == t.
      keys: [n] uint64; an example's masks depend on its key and its tokens only.
    """
    offsets = np.asarray(offsets, np.int64)
    special = np.asarray(special, bool)
    lengths = np.diff(offsets)
    wanted = np.maximum(1, np.rint(lengths * rule.rate).astype(np.int64))
    budget = np.where(np.asarray(rule.rate) > 0, np.minimum(wanted, rule.max_predictions), 0)
    words = _find_words(rule, np.asarray(word_starts, bool), special, offsets)
    chosen = np.zeros(len(words.cumulative) - 1, bool)
    _choose(rule, words, budget, keys, "mask", chosen)
    hidden = _of_tokens(chosen, words)
    row = np.repeat(np.arange(len(lengths)), lengths)
    output = _replace(rule, ids, hidden, row, offsets, keys)
    predicted = hidden
    if rule.permute:
        taken = chosen.copy()
        _choose(rule, words, budget, keys, "permute", taken)
        moved = np.flatnonzero(_of_tokens(taken & ~chosen, words))
        order = np.lexsort((_token_bits(keys, "permutation", moved, row, offsets), row[moved]))
        output[moved] = ids[moved[order]]
        predicted = hidden.copy()
        predicted[moved] = True
    where = np.flatnonzero(predicted)
    counts = np.bincount(row[where], minlength=len(lengths))
    return Masked(
        output,
        where - offsets[row[where]],
        ids[where],
        np.concatenate([[0], np.cumsum(counts)]),
        wanted,
    )


def _find_words(
    rule: MaskRule, word_starts: np.ndarray, special: np.ndarray, offsets: np.ndarray
) -> _Words:
    starts = ~special
    if rule.whole_word:
        after_special = np.concatenate([[True], special[:-1]])
        after_special[offsets[:-1][np.diff(offsets) > 0]] = True
        starts = starts & (word_starts | after_special)
    numbered = np.cumsum(starts)
    token_word = np.where(special, -1, numbered - 1)
    sizes = np.bincount(token_word[~special], minlength=int(numbered[-1]) if starts.size else 0)
    return _Words(
        token_word,
        np.concatenate([[0], numbered])[offsets],
        np.concatenate([[0], np.cumsum(sizes)]),
    )


def _of_tokens(chosen: np.ndarray, words: _Words) -> np.ndarray:
    """Spreads a choice of words to their tokens."""
    return np.concatenate([chosen, [False]])[words.token_word]


def _visiting_order(words: _Words, keys: np.ndarray, purpose: str) -> np.ndarray:
    """All words, example by example, in random order within each.

    One sort of integers that hold (example, 26 random bits, word) is several times as fast as an
    indirect sort; in the rare tie the lower word comes first.
    """
    counts = np.diff(words.offsets)
    row = np.repeat(np.arange(len(counts), dtype=np.uint64), counts)
    word = np.arange(len(row), dtype=np.uint64) - words.offsets[:-1].astype(np.uint64)[row]
    random = counter_rng.bits(keys[row], purpose + " order", word) >> np.uint64(38)
    packed = np.sort(row << np.uint64(42) | random << np.uint64(16) | word)
    return (packed & np.uint64(0xFFFF)).astype(np.int64) + words.offsets[:-1][row]


def _length_thresholds(rule: MaskRule) -> np.ndarray:
    """[ngram + 1, ngram] cumulative p(n), one row for each number of words still available."""
    weights = 1.0 / np.arange(1, rule.ngram + 1)
    if not rule.favor_shorter_ngram:
        weights = weights[::-1]
    thresholds = np.ones((rule.ngram + 1, rule.ngram))
    for available in range(1, rule.ngram + 1):
        share = weights[:available] / weights[:available].sum()
        thresholds[available, : available - 1] = np.cumsum(share)[:-1]
    return thresholds


def _choose(
    rule: MaskRule,
    words: _Words,
    budget: np.ndarray,
    keys: np.ndarray,
    purpose: str,
    chosen: np.ndarray,
) -> None:
    """Sets `chosen` ([w]) for the words of the n-grams that all examples pick, in lockstep.

    Step k looks at the k-th candidate of every example that has budget and candidates left.
    Words chosen before are not touched.
    """
    order = _visiting_order(words, keys, purpose)
    thresholds = _length_thresholds(rule)
    left = budget.copy()
    counts = np.diff(words.offsets)
    active = np.flatnonzero((left > 0) & (counts > 0))
    step = 0
    while active.size:
        word = order[words.offsets[active] + step]
        available = np.minimum(words.offsets[active + 1] - word, rule.ngram)
        random = counter_rng.uniform(keys[active], purpose + " ngram", step)
        n = 1 + (random[:, None] >= thresholds[available]).sum(axis=1)
        room = left[active]
        size = words.cumulative[word + n] - words.cumulative[word]
        for _ in range(rule.ngram - 1):
            n -= (size > room) & (n > 1)
            size = words.cumulative[word + n] - words.cumulative[word]
        fits = size <= room
        for k in range(rule.ngram):
            fits &= (n <= k) | ~chosen[np.minimum(word + k, len(chosen) - 1)]
        for k in range(rule.ngram):
            chosen[word[fits & (n > k)] + k] = True
        left[active] -= np.where(fits, size, 0)
        step += 1
        active = active[(left[active] > 0) & (counts[active] > step)]


def _token_bits(
    keys: np.ndarray, purpose: str, where: np.ndarray, row: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    rows = row[where]
    return counter_rng.bits(keys[rows], purpose, where - offsets[rows])


def _replace(
    rule: MaskRule,
    ids: np.ndarray,
    hidden: np.ndarray,
    row: np.ndarray,
    offsets: np.ndarray,
    keys: np.ndarray,
) -> np.ndarray:
    """Applies 80 / 10 / 10 to the hidden tokens and returns the new tokens."""
    where = np.flatnonzero(hidden)
    random = _token_bits(keys, "replacement", where, row, offsets)
    fate = (random >> np.uint64(40)) * (1.0 / (1 << 24))
    low = random & np.uint64(0xFFFFFFFF)
    piece = ((low * np.uint64(len(rule.replacements))) >> np.uint64(32)).astype(np.int64)
    output = np.array(ids, copy=True)
    masked = fate < 0.8
    output[where[masked]] = rule.mask_id
    swapped = fate >= 0.9
    output[where[swapped]] = rule.replacements[piece[swapped]]
    return output


def ragged_to_matrix(values: np.ndarray, offsets: np.ndarray, width: int) -> np.ndarray:
    """Turns ragged rows into a matrix filled up with 0.

    Args:
      values: [t] flat rows.
      offsets: [n + 1] where each row begins; no row is longer than `width`.
      width: Columns of the result.

    Returns:
      [n, width], in the dtype of `values`.
    """
    lengths = np.diff(offsets)
    matrix = np.zeros((len(lengths), width), values.dtype)
    matrix[np.arange(width) < lengths[:, None]] = values
    return matrix
