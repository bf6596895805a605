"""A run has the tokenizer of its records with it, and gives no other file away."""

import os
import shutil

import preprocess_corpus as corpus
import pytest
from manifests import manifest

from albert.checkpoints.tokenizer import (
    check_tokenizer_of_run,
    copy_tokenizer,
    find_tokenization,
    keep_tokenizer,
)
from albert.records.manifest import ModelFile, write_manifest
from albert.system.errors import UsageError
from albert.system.files.sums import sha256_file


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


def test_a_tokenizer_may_be_named_by_its_folder(place):
    path = records_of(
        place / "records", str(place / "text" / "gone.model"), sha256_file(corpus.model())
    )
    keep_tokenizer(str(place / "run"), path, str(place / "text"))
    assert os.path.isfile(str(place / "run" / "gone.model"))
    shutil.copy(corpus.model(), str(place / "text" / "second.model"))
    with pytest.raises(UsageError, match="has second.model, sp.model instead of one"):
        keep_tokenizer(str(place / "run"), path, str(place / "text"))
    other = records_of(place / "records", corpus.model(), sha256="1" * 64)
    with pytest.raises(UsageError, match="is not the tokenizer of the records"):
        keep_tokenizer(str(place / "run"), other, corpus.model())


def test_held_out_records_of_a_third_tokenizer_are_refused(place):
    run = str(place / "run")
    other = ModelFile("other.model", "1" * 64)
    check_tokenizer_of_run(run, other, "input_file")  # a run that does not tell
    keep_tokenizer(run, records_of(place / "records", corpus.model()))
    check_tokenizer_of_run(run, ModelFile("x.model", sha256_file(corpus.model())), "input_file")
    check_tokenizer_of_run(run, None, "input_file")
    with pytest.raises(UsageError, match="--input_file was built with another SentencePiece model"):
        check_tokenizer_of_run(run, other, "input_file")


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
