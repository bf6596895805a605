"""What labels can be told without a neural network, for comparison."""

import collections
from typing import Dict, Sequence

import numpy as np

from albert.tasks.rows.examples import Sentence, Text, labels_of
from albert.tasks.scores import score


def tfidf_logistic_regression(
    train: Sequence[Text], test: Sequence[Text], seed: int = 0
) -> Dict[str, float]:
    """Scores of logistic regression on TF-IDF of words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, min_df=2 if len(train) > 1000 else 1
        ),
        LogisticRegression(max_iter=1000, random_state=seed),
    )
    model.fit([example.text for example in train], [example.label for example in train])
    predicted = model.predict([example.text for example in test])
    return _scores([example.label for example in test], list(predicted))


def most_frequent_tag(train: Sequence[Sentence], test: Sequence[Sentence]) -> Dict[str, float]:
    """Scores of giving each word its commonest tag, and unseen words the commonest of all."""
    by_word: Dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for sentence in train:
        for word, tag in zip(*sentence):
            by_word[word].update([tag])
    counts = labels_of(train)
    commonest = max(counts, key=lambda tag: counts[tag])
    known = {word: tags.most_common(1)[0][0] for word, tags in by_word.items()}
    pairs = [(tag, known.get(word, commonest)) for sentence in test for word, tag in zip(*sentence)]
    return _scores(*zip(*pairs))


def _scores(expected: Sequence[str], predicted: Sequence[str]) -> Dict[str, float]:
    return score(np.asarray(expected), np.asarray(predicted))
