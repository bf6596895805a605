"""Training of the tokenizer: special pieces, honest errors, the report."""

import glob
import os
import subprocess
import sys

import preprocess_corpus as corpus
import pytest

from albert.system.errors import UsageError
from albert.text import vocabulary
from preprocess import tokenizer

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def test_ids_and_files_are_those_of_the_recipe():
    words = vocabulary.load(corpus.model())
    assert words.pieces[:5] == ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    assert words.pieces[5:13] == ["(", ")", "\u201d", "-", ".", "\u2013", "\u00a3", "\u20ac"]
    assert words.special_ids == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    assert len(words.pieces) == 300
    assert words.replacements.min() == 5 and len(words.replacements) == 295
    assert words.processor.bos_id() == words.processor.eos_id() == -1
    with open(corpus.model().replace(".model", ".vocab"), encoding="utf-8") as handle:
        lines = handle.read().splitlines()
    assert [line.split("\t")[0] for line in lines] == words.pieces
    assert lines[0] == "<pad>\t0"


def test_training_is_reproducible_and_samples_are_bounded(tmp_path):
    text = corpus.write_text(tmp_path / "t.txt", corpus.documents(300))
    scores = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        path = tokenizer.train_tokenizer(
            text, str(tmp_path / name), 200, input_sentence_size=200, random_seed=seed
        )
        scores.append([vocabulary.load(path).processor.GetScore(i) for i in range(200)])
    assert scores[0] == scores[1] != scores[2]


def test_too_large_a_vocabulary_names_the_largest_that_works(tmp_path):
    text = corpus.write_text(tmp_path / "t.txt", corpus.documents(20))
    with pytest.raises(UsageError, match=r"the largest that works is \d+") as caught:
        tokenizer.train_tokenizer(text, str(tmp_path / "m"), 30000)
    assert not glob.glob(str(tmp_path / "m*"))
    largest = int(str(caught.value).rstrip(".").split()[-1])
    model = tokenizer.train_tokenizer(text, str(tmp_path / "m"), largest)
    assert len(vocabulary.load(model).pieces) == largest


def test_mistakes_are_explained(tmp_path):
    text = corpus.write_text(tmp_path / "t.txt", corpus.documents(20))
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    latin = tmp_path / "latin.txt"
    latin.write_bytes(b"caf\xe9 baka mana\n" * 50)
    for arguments, message in (
        ((text, str(tmp_path / "m"), 14), "too small for the characters"),
        ((str(empty), str(tmp_path / "m"), 300), "holds no text"),
        ((text, str(tmp_path / "m"), 300, "huge"), "must be one of: guide, malaya"),
        ((str(latin), str(tmp_path / "m"), 300), "not UTF-8 at byte 3"),
        (("nothing.txt", str(tmp_path / "m"), 300), "matches no file"),
    ):
        with pytest.raises(UsageError, match=message):
            tokenizer.train_tokenizer(*arguments)


def test_report_counts_what_can_be_counted():
    result = tokenizer.report(corpus.model(), ["Baka mana.", "\u4e2d\u56fd baka"])
    assert result.sentences == 2 and result.words == 4
    assert result.characters_covered == pytest.approx(1 - 2 / 15)
    assert result.unk_rate == pytest.approx(1 / result.pieces)
    assert result.vocab_size == 300 and 0 < result.unused < 300


def test_the_command_prints_its_report(tmp_path):
    text = corpus.write_text(tmp_path / "t.txt", corpus.documents(100))

    def tokenizer_command(*more):
        command = [sys.executable, "-m", "preprocess", "tokenizer", "--input_file=" + text]
        command += ["--model_prefix={}/m".format(tmp_path), "--vocab_size=150"]
        return subprocess.run(command + list(more), capture_output=True, text=True, cwd=ROOT)

    result = tokenizer_command("--heldout_file={}/no.txt".format(tmp_path))
    assert result.returncode == 2 and "--heldout_file=" in result.stderr
    assert not (tmp_path / "m.model").exists()  # said before the training
    result = tokenizer_command()
    assert result.returncode == 0, result.stderr
    assert "characters covered: 100.0000%" in result.stdout
    assert "150 pieces" in result.stdout and (tmp_path / "m.vocab").exists()


def train_plain(tmp_path, **settings):
    """A model with other options than ours, trained in a process without TensorFlow."""
    settings.update(
        input=corpus.write_text(tmp_path / "t.txt", corpus.documents(100)),
        model_prefix=str(tmp_path / "p"),
        vocab_size=150,
        minloglevel=2,
    )
    code = "import sentencepiece; sentencepiece.SentencePieceTrainer.Train(**{!r})".format(settings)
    subprocess.run([sys.executable, "-c", code], check=True)
    return str(tmp_path / "p.model")


def test_xlnet_style_special_pieces_are_detected(tmp_path):
    model = train_plain(
        tmp_path,
        control_symbols=["<cls>", "<sep>", "<pad>", "<mask>", "<eod>"],
        user_defined_symbols=["<eop>", "."],
    )
    words = vocabulary.load(model)
    assert [words.pieces[i] for i in (words.cls, words.sep, words.mask, words.pad)] == [
        "<cls>",
        "<sep>",
        "<mask>",
        "<pad>",
    ]
    names = {words.pieces[i] for i in words.replacements}
    assert not names & {"<unk>", "<s>", "</s>", "<cls>", "<sep>", "<mask>", "<eod>", "<eop>"}
    assert "." in names


def test_a_model_without_special_pieces_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"has no special pieces.*\[CLS\]"):
        vocabulary.load(train_plain(tmp_path))


def test_model_is_found_through_the_vocab_file():
    vocab = corpus.model().replace(".model", ".vocab")
    assert vocabulary.resolve_model("", vocab) == corpus.model()
    with pytest.raises(UsageError, match="none.model does not exist"):
        vocabulary.resolve_model("none.model", vocab)


class Pieces:
    """A processor that knows how "12" and "3" are encoded."""

    def EncodeAsPieces(self, text):
        """Pieces of the two texts."""
        return {"12": ["\u258112"], "3": ["\u2581", "3"]}[text]

    def PieceToId(self, piece):
        """Ids of some pieces."""
        return {"\u258112": 7, "12": 8, "3": 9, "\u2581": 10, ",": 11}[piece]


def test_digits_glued_to_a_comma_are_cut_apart():
    pieces = ["\u258112,", "12,", "3,", "\u25813,", "a,", ","]
    table = vocabulary._resplit_table(Pieces(), pieces)
    assert table == {0: [7, 11], 1: [8, 11], 2: [9, 11], 3: [10, 9, 11]}
