"""Small files beside the large ones: read as what they must be, or refused with the reason."""

from typing import NamedTuple, Optional, Tuple

import pytest

from albert.system.errors import UsageError
from albert.system.files.side import read_as, read_json_lines
from albert.training.log.step_lines import cut_lines


class Kept(NamedTuple):
    """Some facts."""

    name: str
    share: float
    sizes: Tuple[int, ...] = ()
    note: Optional[str] = None


@pytest.mark.parametrize(
    "text, expected",
    [
        ('{"name": "a", "share": 1}', Kept("a", 1)),
        ('{"name": "a", "share": 0.5, "sizes": [3], "note": null, "new": 1}', Kept("a", 0.5, (3,))),
        ('{"name": "a"}', "it has no share"),
        ('{"name": "a", "share": true}', "its share is bool"),
        ('{"name": "a", "share": 1, "sizes": ["3"]}', "its sizes is str"),
        ('["a", 1]', "its content is list"),
        ('{"name": "\\ud83d", "share": 1}', "surrogates not allowed"),
        ("[" * 100000, "it is nested too deeply"),
        ("1" * 301, "it has a number of 301 digits"),
        ("{", "Expecting property name"),
    ],
)
def test_a_side_file_has_the_fields_of_its_class_or_says_what_is_wrong(tmp_path, text, expected):
    path = tmp_path / "kept.json"
    path.write_text(text)
    if isinstance(expected, Kept):
        assert read_as(Kept, str(path), "facts") == expected
    else:
        with pytest.raises(UsageError, match="Cannot read facts .*kept.json: .*" + expected):
            read_as(Kept, str(path), "facts")


def test_lines_that_cannot_be_read_are_left_out_counted_and_kept(tmp_path, caplog):
    path = tmp_path / "lines.jsonl"
    bad = b'{"step": "2"}\n\xff\n'
    path.write_bytes(b'{"step": 1, "loss": 7}\n' + bad + b'{"step": 3, "loss": 6.5}\n{"step": 4')
    found = read_json_lines(str(path), {"step": int}, others=float)
    assert [line["step"] for line in found] == [1, 3]
    assert "2 of 4 lines cannot be read; left out" in caplog.text
    cut_lines(str(path), 2)
    assert path.read_bytes() == b'{"step": 1, "loss": 7}\n' + bad
