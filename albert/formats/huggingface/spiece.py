"""What is inside a SentencePiece model file, as far as another tokenizer must know it."""

import base64
from typing import Any, Dict, List, NamedTuple, Tuple

from albert.system.errors import UsageError
from albert.text import vocabulary

# Types of pieces in the file format.
NORMAL, UNKNOWN, CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_NEVER = 100.0  # lower than the rarest piece by so much: never on the best path
_MATCHED_FIRST = 0.1


class SentencePiece(NamedTuple):
    """A SentencePiece model, taken apart.

    Attributes:
      pieces: Spelling and score of every piece, by id, as a unigram model needs them.
      special_ids: Ids by role: cls, sep, mask, pad, unk.
      control_ids: Ids of all pieces that text cannot produce.
      charsmap: The compiled normalisation, base64; empty for none.
    """

    pieces: List[Tuple[str, float]]
    special_ids: Dict[str, int]
    control_ids: List[int]
    charsmap: str


def read(path: str) -> SentencePiece:
    """Reads a `.model` file.

    Raises:
      UsageError: It is no SentencePiece model, lacks special pieces, or is of a kind that no
        `tokenizer.json` equals.
    """
    model = _parse(path)
    _check_supported(model, path)
    types = [piece.type for piece in model.pieces]
    control = [i for i, kind in enumerate(types) if kind in (CONTROL, UNKNOWN)]
    return SentencePiece(
        _scored_pieces(model),
        vocabulary.load(path).special_ids,
        control,
        base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode("ascii"),
    )


def _parse(path: str) -> Any:
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]  # made at load
    try:
        with open(path, "rb") as handle:
            model.ParseFromString(handle.read())
    except (OSError, DecodeError) as error:
        raise UsageError(
            "{} is not a SentencePiece model ({}). Give the .model file with "
            "--spm_model_file.".format(path, error)
        ) from error
    if not model.pieces:
        raise UsageError("{} is not a SentencePiece model: it holds no pieces.".format(path))
    return model


def _check_supported(model: Any, path: str) -> None:
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    kinds = {piece.type for piece in model.pieces}
    needs = (
        (trainer.model_type == 1, "it is not a unigram model"),
        (not kinds & {_BYTE}, "it falls back to bytes"),
        (not kinds & {_UNUSED}, "some of its pieces are switched off"),
        (not trainer.treat_whitespace_as_suffix, "it marks the ends of words"),
        (normalizer.add_dummy_prefix, "it does not mark the first word"),
        (normalizer.remove_extra_whitespaces, "it keeps repeated spaces"),
    )
    for fits, what in needs:
        if not fits:
            raise UsageError(
                "{} cannot be written as tokenizer.json: {}. Export with another format.".format(
                    path, what
                )
            )


def _scored_pieces(model: Any) -> List[Tuple[str, float]]:
    ordinary = [piece.score for piece in model.pieces if piece.type == NORMAL]
    lowest, highest = min(ordinary), max(ordinary)
    scored = []
    for piece in model.pieces:
        score = piece.score
        if piece.type == _USER_DEFINED:
            # SentencePiece gives these a score by length that beats every other reading.
            score = len(piece.piece.encode("utf-8")) * highest - _MATCHED_FIRST
        elif vocabulary.is_glued(piece.piece):  # ALBERT's encoders cut it apart
            score = lowest - _NEVER
        scored.append((piece.piece, score))
    return scored
