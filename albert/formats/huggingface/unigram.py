"""A SentencePiece model made of a `tokenizer.json` that says the same."""

import base64
import binascii
from typing import Any, Dict, List, NamedTuple, NoReturn, Sequence, Tuple

from albert.formats.huggingface.spiece import CONTROL, NORMAL, UNKNOWN
from albert.formats.huggingface.tokenizer import combining_marks, white_space
from albert.system.errors import UsageError, quoted
from albert.system.files.side import read_json_object
from albert.text.tokenization import TextOptions
from albert.text.vocabulary import WORD_MARK

TOKENIZER_FILE = "tokenizer.json"
_UNIGRAM = 1  # SentencePiece's number for it


class Unigram(NamedTuple):
    """A tokenizer as our records know it.

    Attributes:
      model: The content of the SentencePiece model file.
      text: What is done to text before.
    """

    model: bytes
    text: TextOptions


def read_unigram(path: str) -> Unigram:
    """Makes a SentencePiece model of a `tokenizer.json`.

    It gives the same pieces, but for two single quotes, which `AlbertTokenizer` turns into a double
    one and the records do not, and for the texts named in `tokenizer.py`.

    Raises:
      UsageError: Its model is no unigram model, or its steps are not ALBERT's; says which.
    """
    values = read_json_object(path)
    try:
        model = values["model"]
        if model.get("type", "Unigram") != "Unigram" or "merges" in model:
            _refuse("its model is {}, not Unigram".format(quoted(model.get("type"))))
        if model.get("byte_fallback"):
            _refuse("it falls back to bytes")
        pieces = [(str(piece), float(score)) for piece, score in model["vocab"]]
        unknown = model["unk_id"]
        types = _types(values.get("added_tokens") or [], pieces)
        types[unknown] = UNKNOWN
        charsmap, text = _normalisation(values.get("normalizer"))
        _check_words(values.get("pre_tokenizer"), pieces)
        return Unigram(_model(pieces, types, charsmap), text)
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        what = error if isinstance(error, UsageError) else "it is none ({})".format(quoted(error))
        raise UsageError("{} is not made a SentencePiece model: {}.".format(path, what)) from error


def _refuse(reason: str) -> NoReturn:
    raise UsageError(reason)


def _types(added: Sequence[Dict[str, Any]], pieces: Sequence[Tuple[str, float]]) -> List[int]:
    """What SentencePiece calls each piece; the unknown one is told by its own number."""
    types = [NORMAL] * len(pieces)
    for token in added:
        number = token["id"]
        if not 0 <= number < len(pieces) or pieces[number][0] != token["content"]:
            _refuse("the piece {} was added to its vocabulary".format(quoted(token["content"])))
        if not token["special"]:
            _refuse(
                "the piece {} is cut out of raw text, which no SentencePiece model does. Put the "
                "spiece.model it was made of beside it".format(quoted(token["content"]))
            )
        types[number] = CONTROL
    return types


# The steps of a normalizer in their order; each may be left out.
_ORDER = ("quotes", "spaces", "decompose", "marks", "lower", "compose", "charsmap", "strip")


def _normalisation(value: Any) -> Tuple[bytes, TextOptions]:
    """The compiled rules, and what is done before them."""
    steps = _flat(value, "normalizers")
    kinds = [_kind_of(step) for step in steps]
    places = [_ORDER.index(kind) for kind in kinds]
    if places != sorted(places) or ("decompose" in kinds) != ("marks" in kinds):
        _refuse("its normalizer does {} in an order of its own".format(", ".join(kinds)))
    maps = [step["precompiled_charsmap"] for step in steps if step["type"] == "Precompiled"]
    if len(maps) > 1 or "compose" in kinds and not maps:
        _refuse("its normalizer composes characters on its own")
    charsmap = base64.b64decode(maps[0] or "") if maps else b""
    return charsmap, TextOptions("lower" in kinds, "marks" not in kinds)


def _flat(value: Any, inner: str) -> List[Dict[str, Any]]:
    if value is None:
        return []
    if value["type"] == "Sequence":
        return [step for part in value[inner] for step in _flat(part, inner)]
    return [value]


def _kind_of(step: Dict[str, Any]) -> str:
    kinds = {
        "NFKD": "decompose",
        "StripAccents": "marks",
        "Lowercase": "lower",
        "NFC": "compose",
        "Precompiled": "charsmap",
        "Strip": "strip",
    }
    if step["type"] == "Replace":
        pattern = next(iter(step["pattern"].values()))
        replaced = {
            ("``", '"'): "quotes",
            ("''", '"'): "quotes",
            (white_space(), " "): "spaces",
            (combining_marks(), ""): "marks",
            (" {2,}", " "): "strip",
        }.get((pattern, step["content"]))
        return replaced or _refuse("its normalizer replaces {}".format(quoted(pattern)))
    return kinds.get(step["type"]) or _refuse("its normalizer has {}".format(quoted(step["type"])))


def _check_words(value: Any, pieces: Sequence[Tuple[str, float]]) -> None:
    steps = _flat(value, "pretokenizers")
    splits = [step for step in steps if step["type"] != "Metaspace"]
    marks = [step for step in steps if step["type"] == "Metaspace"]
    for step in splits:
        if step["type"] != "WhitespaceSplit":
            _refuse("its pre-tokenizer has {}".format(quoted(step["type"])))
    if len(marks) != 1 or marks[0]["replacement"] != WORD_MARK:
        _refuse("its pre-tokenizer does not mark words by {}".format(quoted(WORD_MARK)))
    scheme = marks[0].get("prepend_scheme")
    if not (scheme in ("always", "first") if scheme else marks[0].get("add_prefix_space", True)):
        _refuse("its pre-tokenizer does not mark the first word")
    if splits or marks[0].get("split", True):
        over = [piece for piece, _ in pieces if WORD_MARK in piece[1:]]
        if over:
            _refuse("the piece {} would span words".format(quoted(over[0])))


def _model(pieces: Sequence[Tuple[str, float]], types: Sequence[int], charsmap: bytes) -> bytes:
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]  # made at load
    for (piece, score), kind in zip(pieces, types):
        model.pieces.add(piece=piece, score=score, type=kind)
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    trainer.model_type, trainer.vocab_size = _UNIGRAM, len(pieces)
    trainer.unk_id = types.index(UNKNOWN)
    trainer.unk_piece = pieces[trainer.unk_id][0]
    normalizer.precompiled_charsmap = charsmap
    normalizer.add_dummy_prefix = normalizer.remove_extra_whitespaces = True
    normalizer.escape_whitespaces = True
    return model.SerializeToString()
