"""A run has the tokenizer of its records with it, and gives no other file away."""

import os
import shutil

import preprocess_corpus as corpus
import pytest
from manifests import manifest

from albert.checkpoints.tokenizer import copy_tokenizer, find_tokenization, keep_tokenizer
from albert.records.manifest import write_manifest
from albert.system.errors import UsageError
from albert.system.files.atomic import sha256_file


def records_of(folder, model, sha256=None, **options):
    """A record file whose manifest names a tokenizer."""
    path = str(folder / "a.tfrecord")
    open(path, "w").close()
    made = manifest(path, model=model, sha256=sha256 or sha256_file(model), **options)
    write_manifest(path + ".manifest.json", made)
    return path


@pytest.fixture
def place(tmp_path):
    """A folder with the tokenizer, one with records, and one of a run."""
    for name in ("text", "records", "run"):
        (tmp_path / name).mkdir()
    shutil.copy(corpus.model(), str(tmp_path / "text" / "sp.model"))
    return tmp_path


def test_a_run_needs_nothing_beside_its_folder(place):
    path = records_of(place / "records", str(place / "text" / "sp.model"), do_lower_case=True)
    expected = sha256_file(corpus.model())
    keep_tokenizer(str(place / "run"), path)
    keep_tokenizer(str(place / "run"), path)  # as a resume does
    shutil.rmtree(str(place / "text"))
    shutil.rmtree(str(place / "records"))
    moved = place / "elsewhere"
    os.rename(str(place / "run"), str(moved))
    found = find_tokenization(str(moved))
    assert found.model_file == str(moved / "sp.model")
    assert sha256_file(found.model_file) == expected
    assert found.text.do_lower_case


def test_the_tokenizer_is_found_beside_the_records(place):
    path = records_of(place / "records", str(place / "text" / "sp.model"))
    os.rename(str(place / "text" / "sp.model"), str(place / "records" / "sp.model"))
    keep_tokenizer(str(place / "run"), path)
    assert os.path.isfile(str(place / "run" / "sp.model"))


def test_records_of_another_tokenizer_are_refused(place):
    keep_tokenizer(str(place / "run"), records_of(place / "records", corpus.model()))
    other = records_of(place / "records", corpus.model(), sha256="1" * 64)
    with pytest.raises(UsageError, match="has another tokenizer"):
        keep_tokenizer(str(place / "run"), other)


def test_a_changed_or_absent_tokenizer_is_not_taken(place):
    path = records_of(place / "records", str(place / "text" / "sp.model"), sha256="1" * 64)
    keep_tokenizer(str(place / "run"), path)
    assert os.listdir(str(place / "run")) == []


def test_what_is_no_tokenizer_is_not_copied(place):
    """A stranger's manifest may name any file of the reader's machine."""
    secret = place / "text" / "id_rsa"
    secret.write_text("-----BEGIN PRIVATE KEY-----")
    with pytest.raises(UsageError, match="is not a SentencePiece model"):
        keep_tokenizer(str(place / "run"), records_of(place / "records", str(secret)))
    with pytest.raises(UsageError, match="is not a SentencePiece model"):
        copy_tokenizer(str(secret), str(place / "run"), "tokenizer")
    assert os.listdir(str(place / "run")) == []
