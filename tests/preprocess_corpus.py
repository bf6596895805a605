"""A made-up language for the tests of preprocess: words of syllables, documents, a model."""

import atexit
import functools
import os
import shutil
import tempfile

import numpy as np

from preprocess import tokenizer

SYLLABLES = "ba ka ma na pa ra sa ta di ki li mi ni si ti bu ku lu mu nu ru su tu".split()


def words(rng, count):
    """Distinct words of two to four syllables, by falling frequency."""
    found = []
    while len(found) < count:
        word = "".join(rng.choice(SYLLABLES, rng.randint(2, 5)))
        if word not in found:
            found.append(word)
    return np.array(found)


def sentence(rng, vocabulary, length):
    """A sentence of about `length` words with Zipf's frequencies and a full stop."""
    share = 1.0 / np.arange(1, len(vocabulary) + 1)
    chosen = rng.choice(vocabulary, max(1, length), p=share / share.sum())
    return (" ".join(chosen) + ".").capitalize()


def documents(count=300, seed=0, longest=12):
    """Lists of sentences; a fifth of the documents has one sentence."""
    rng = np.random.RandomState(seed)
    vocabulary = words(np.random.RandomState(99), 400)
    out = []
    for _ in range(count):
        length = 1 if rng.rand() < 0.2 else rng.randint(2, longest + 1)
        out.append([sentence(rng, vocabulary, rng.randint(3, 15)) for _ in range(length)])
    return out


def write_text(path, docs):
    """Writes documents, a sentence a line; returns the path as a string."""
    with open(str(path), "w", encoding="utf-8") as handle:
        handle.write("\n\n".join("\n".join(doc) for doc in docs) + "\n")
    return str(path)


@functools.lru_cache(maxsize=None)
def folder():
    """A folder for what all tests share."""
    path = tempfile.mkdtemp(prefix="preprocess-tests-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@functools.lru_cache(maxsize=None)
def model():
    """Path of a model of 300 pieces."""
    text = write_text(os.path.join(folder(), "corpus.txt"), documents(600, seed=1))
    return tokenizer.train_tokenizer(text, os.path.join(folder(), "model"), 300)
