"""What labels can be told without a neural network, beside which a model is judged."""

import collections
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from albert.tasks.rows.examples import Example, Sentence, Text, are_pairs, labels_in, labels_of
from albert.tasks.scores import judge, main_name
from albert.tasks.task import Task

Scores = Dict[str, float]
_Labels = Tuple[Any, ...]  # as `labels_in` gives those of an example
_Baseline = Callable[[Sequence[Any], Sequence[Any]], List[_Labels]]


def tfidf_logistic_regression(train: Sequence[Text], test: Sequence[Text]) -> List[_Labels]:
    """Labels by logistic regression on TF-IDF of words and pairs of words."""
    from sklearn.linear_model import LogisticRegression

    try:
        seen, new = tfidf(train, test)
    except ValueError:  # no word that it knows how to part
        return majority(train, test)
    model = LogisticRegression(max_iter=1000, random_state=0)
    model.fit(seen, [example.label for example in train])
    return [(label,) for label in model.predict(new)]


def tfidf(train: Sequence[Text], test: Sequence[Text]) -> Tuple[Any, Any]:
    """Sparse features of texts; of pairs those of each of both, and their cosine.

    Raises:
      ValueError: No text has a word.
    """
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, min_df=2 if len(train) > 1000 else 1
    )
    words.fit([text for example in train for text in (example.text, example.text_b) if text])

    def features(examples: Sequence[Text]) -> Any:
        first = words.transform([example.text for example in examples])
        if not are_pairs(examples):
            return first
        second = words.transform([example.text_b for example in examples])
        return hstack([first, second, first.multiply(second).sum(axis=1)]).tocsr()

    return features(train), features(test)


def most_frequent_tag(train: Sequence[Sentence], test: Sequence[Sentence]) -> List[_Labels]:
    """To each word its commonest tag, and to unseen words the commonest of all."""
    by_word: Dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for sentence in train:
        for word, tag in zip(*sentence):
            by_word[word].update([tag])
    commonest = _commonest(train)
    known = {word: tags.most_common(1)[0][0] for word, tags in by_word.items()}
    return [tuple(known.get(word, commonest) for word in each.words) for each in test]


def majority(train: Sequence[Example], test: Sequence[Example]) -> List[_Labels]:
    """The commonest label everywhere."""
    return [(_commonest(train),) * len(labels_in(example)) for example in test]


def _commonest(train: Sequence[Example]) -> str:
    counts = labels_of(train)
    return max(counts, key=lambda label: counts[label])


def tfidf_ridge(train: Sequence[Text], test: Sequence[Text]) -> List[_Labels]:
    """Numbers by ridge regression on the same features."""
    from sklearn.linear_model import Ridge

    try:
        seen, new = tfidf(train, test)
    except ValueError:  # no word that it knows how to part
        return mean(train, test)
    model = Ridge(random_state=0).fit(seen, [example.label for example in train])
    return [(number,) for number in model.predict(new)]


def mean(train: Sequence[Text], test: Sequence[Text]) -> List[_Labels]:
    """The mean of the numbers everywhere."""
    return [(np.mean([example.label for example in train]),)] * len(test)


def tfidf_one_vs_rest(train: Sequence[Text], test: Sequence[Text]) -> List[_Labels]:
    """Each label by a logistic regression of its own, on the same features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import MultiLabelBinarizer

    try:
        seen, new = tfidf(train, test)
    except ValueError:  # no word that it knows how to part
        return commonest_labels(train, test)
    labels = MultiLabelBinarizer()
    wanted = labels.fit_transform([example.label for example in train])
    model = OneVsRestClassifier(LogisticRegression(max_iter=1000, random_state=0))
    found: List[_Labels] = labels.inverse_transform(model.fit(seen, wanted).predict(new))
    return found


def commonest_labels(train: Sequence[Text], test: Sequence[Text]) -> List[_Labels]:
    """The labels that most texts have together, everywhere."""
    counts = collections.Counter(example.label for example in train)
    return [max(sorted(counts), key=lambda labels: counts[labels])] * len(test)


_OF_TAGS: Mapping[str, _Baseline] = {"most frequent tag": most_frequent_tag, "majority": majority}
_BASELINES: Dict[str, Mapping[str, _Baseline]] = {
    "classification": {
        "TF-IDF, logistic regression": tfidf_logistic_regression,
        "majority": majority,
    },
    "multi-label": {
        "TF-IDF, one-vs-rest logistic regression": tfidf_one_vs_rest,
        "majority": commonest_labels,
    },
    "tagging": _OF_TAGS,
    "entities": _OF_TAGS,
    "regression": {"TF-IDF, ridge regression": tfidf_ridge, "mean": mean},
}


def baselines(task: Task, train: Sequence[Example], test: Sequence[Example]) -> Dict[str, Scores]:
    """Scores of each baseline of a task, by its name."""
    expected = _in_numbers(task, [labels_in(example) for example in test])
    return {
        name: judge(task, expected, _in_numbers(task, way(train, test))).scores
        for name, way in _BASELINES[task.kind].items()
    }


def _in_numbers(task: Task, labels: Sequence[_Labels]) -> List[np.ndarray]:
    """Answers as `judge` takes them."""
    if task.kind == "regression":
        return [np.array(each) for each in labels]
    numbers = {label: number for number, label in enumerate(task.labels)}
    if task.kind == "multi-label":
        return [np.array([int(label in each) for label in task.labels]) for each in labels]
    return [np.array([numbers[label] for label in each]) for each in labels]


def verdict(task: Task, scores: Mapping[str, float], others: Mapping[str, Scores]) -> str:
    """A sentence: whether the model is better than every baseline."""
    measure = main_name(task)
    spelled = measure.replace("_", " ").replace("f1", "F1")
    lost = [name for name, other in others.items() if other[measure] >= scores[measure]]
    if not lost:
        return "The model is better than every baseline by {}.".format(spelled)
    return (
        "The model is no better by {} than: {}. Use that instead, or train longer, on more "
        "examples, or from a model with more pre-training.".format(spelled, "; ".join(lost))
    )
