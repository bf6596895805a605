"""`tokenizer.json`: the tokenization of our records, step by step, for Hugging Face's tokenizers.

It is loaded as it is (`PreTrainedTokenizerFast`). transformers' own AlbertTokenizer builds other
steps from the same file: it turns two single quotes into a double one, which the records do not.

Ids are those of the records but for these texts; of 284,362 Malay sentences they were 9 with 4,000
pieces and 16 with 32,000:
  - Two readings have the same score ("hmmm" as hm|mm or mm|hm). SentencePiece adds scores in single
    precision, tokenizers in double, so that rounding decides otherwise (9 and 15 sentences).
  - A comma joined to digits would be cut from one piece ("37," of "37,5"), but another piece spans
    it ("7,5"): tokenizers cannot cut pieces, so those with a comma at the end are never chosen
    (1 of 1,431 cuts).
  - Text that spells a control piece ("[MASK]") gives that piece; in the records it gives brackets
    and letters.
  - Combining marks on compatibility characters (a ligature), or at the start of a text that is to
    lose its marks.
"""

import functools
import sys
import unicodedata
from typing import Any, Callable, Dict, List

from albert.formats.huggingface.spiece import SentencePiece
from albert.text.vocabulary import WORD_MARK


def tokenizer_json(spiece: SentencePiece, lower_case: bool, keep_accents: bool) -> Dict[str, Any]:
    """The content of `tokenizer.json`.

    Args:
      spiece: The SentencePiece model.
      lower_case: Whether the records were lower-cased.
      keep_accents: Whether the records kept combining marks.
    """
    mark = dict(type="Metaspace", replacement=WORD_MARK, prepend_scheme="first", split=False)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(i, spiece.pieces[i][0]) for i in spiece.control_ids],
        "normalizer": {
            "type": "Sequence",
            "normalizers": _normalizers(spiece.charsmap, lower_case, keep_accents),
        },
        "pre_tokenizer": mark,
        "post_processor": _template(spiece),
        "decoder": mark,
        "model": {
            "type": "Unigram",
            "unk_id": spiece.special_ids["unk"],
            "vocab": [[piece, score] for piece, score in spiece.pieces],
            "byte_fallback": False,
        },
    }


def tokenizer_config(
    spiece: SentencePiece, lower_case: bool, keep_accents: bool, longest: int
) -> Dict[str, Any]:
    """The content of `tokenizer_config.json`; `longest` is the most tokens the model takes."""
    spelled = {role: spiece.pieces[i][0] for role, i in spiece.special_ids.items()}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "do_lower_case": lower_case,
        "keep_accents": keep_accents,
        "remove_space": True,
        "model_max_length": longest,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "bos_token": spelled["cls"],
        "eos_token": spelled["sep"],
        "cls_token": spelled["cls"],
        "sep_token": spelled["sep"],
        "mask_token": spelled["mask"],
        "pad_token": spelled["pad"],
        "unk_token": spelled["unk"],
    }


@functools.lru_cache(maxsize=None)
def white_space() -> str:
    """The pattern of what the records turn into one space."""
    return "[{}]+".format(_class(str.isspace))


@functools.lru_cache(maxsize=None)
def combining_marks() -> str:
    """The pattern of what is lost where accents are not kept."""
    return "[{}]".format(_class(unicodedata.combining))


def _normalizers(charsmap: str, lower_case: bool, keep_accents: bool) -> List[Dict[str, Any]]:
    # The records' own steps first, then SentencePiece's.
    steps = [_replace(white_space(), " ")]
    if not keep_accents:
        steps += [{"type": "NFKD"}, _replace(combining_marks(), "")]
    if lower_case:
        steps.append({"type": "Lowercase"})
    if charsmap:
        # Hugging Face looks up a letter with its marks as one, SentencePiece the longest start
        # of it; composed first, both find the same.
        steps += [{"type": "NFC"}, {"type": "Precompiled", "precompiled_charsmap": charsmap}]
    steps.append(_replace(" {2,}", " "))
    # Only the right side: "[MASK] rumah" begins a word after the mask, "[MASK]nya" does not.
    steps.append({"type": "Strip", "strip_left": False, "strip_right": True})
    return steps


def _replace(pattern: str, content: str) -> Dict[str, Any]:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


def _class(belongs: Callable[[str], object]) -> str:
    """The ranges of characters with a property, as inside the brackets of a regular expression."""
    ranges: List[List[int]] = []
    for code in range(sys.maxunicode + 1):
        if belongs(chr(code)):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join("\\x{{{:x}}}-\\x{{{:x}}}".format(first, last) for first, last in ranges)


def _added(piece_id: int, content: str) -> Dict[str, Any]:
    return {
        "id": piece_id,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def _template(spiece: SentencePiece) -> Dict[str, Any]:
    spelled = {role: spiece.pieces[spiece.special_ids[role]][0] for role in ("cls", "sep")}

    def special(role: str, segment: int) -> Dict[str, Any]:
        return {"SpecialToken": {"id": spelled[role], "type_id": segment}}

    def sequence(name: str, segment: int) -> Dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": segment}}

    single = [special("cls", 0), sequence("A", 0), special("sep", 0)]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": single + [sequence("B", 1), special("sep", 1)],
        "special_tokens": {
            name: {"id": name, "ids": [spiece.special_ids[role]], "tokens": [name]}
            for role, name in spelled.items()
        },
    }
