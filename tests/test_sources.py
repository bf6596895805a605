"""Every source of text gives the same documents to cleaning, records and tokenizers."""

import argparse
import bz2
import csv
import gzip
import io
import json
import lzma
import os
import random
import tarfile
import threading
import zipfile

import pytest
from conftest import standard_input

from albert.system.errors import UsageError
from preprocess.clean import clean, units
from preprocess.clean.clean import CleanOptions
from preprocess.clean.text import CleaningRules
from preprocess.engines import Execution
from preprocess.sources import cutting, decoding, found, json_values, tables, values
from preprocess.sources.blocks import read_blocks
from preprocess.sources.documents import Layout
from preprocess.tokenizer import train_tokenizer
from quickstart import __main__ as quickstart

DOCUMENTS = [["Kucing itu comel sekali.", "Ia tidur."], ["Harga kopi naik \u2013 caf\u00e9."]]
PLAIN = "\n\n".join("\n".join(document) for document in DOCUMENTS) + "\n"
ROWS = [{"id": "a b", "body": {"text": "\n".join(document)}} for document in DOCUMENTS]
JSON = json.dumps({"version": "1.0", "data": [ROWS]}, indent=1)
LINES = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
FIELD = "body.text"


def as_csv(delimiter):
    stream = io.StringIO()
    rows = [["id", FIELD]] + [[row["id"], row["body"]["text"]] for row in ROWS]
    csv.writer(stream, delimiter=delimiter).writerows(rows)
    return stream.getvalue()


def tarred(mode, **members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo("inside/" + name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def zipped(inside="inside/", **members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(inside + name, data)
    return stream.getvalue()


OFFICE = zipped("", **{"[Content_Types].xml": b"<a/>", "word.xml": b"<b/>"})


FIRST, SECOND = (LINES.split("\n")[i].encode() for i in (0, 1))
SECOND_TEXT = DOCUMENTS[1][0].encode()
FILES = {
    "a.txt": PLAIN.encode(),
    "a.md": PLAIN.encode(),
    "a.txt.gz": gzip.compress(PLAIN.encode()),
    "a.txt.bz2": bz2.compress(PLAIN.encode()),
    "a.jsonl": LINES.encode(),
    "a.jsonl.xz": lzma.compress(LINES.encode()),
    "a.json": JSON.encode(),
    "lines.json": LINES.encode(),
    "a.csv": as_csv(",").encode(),
    "a.tsv": as_csv("\t").encode(),
    "a.tar": tarred("w", **{"a.jsonl": FIRST, ".hidden": b"\0\1", "b.json": SECOND}),
    "a.tar.gz": tarred("w:gz", **{"a.txt": PLAIN.encode()}),
    "a.tgz": tarred("w:gz", **{"a.jsonl.gz": gzip.compress(FIRST), "b.zip": zipped(x=SECOND)}),
    "a.zip": zipped(**{"a.jsonl": FIRST, "b.json.bz2": bz2.compress(SECOND)}),
    "zipped.gz": gzip.compress(zipped(**{"a.txt": PLAIN.encode()})),
    "piped": LINES.encode(),  # no ending tells what it is
}


def read(source, **layout):
    """The documents that records are made of."""
    blocks = read_blocks(found.find(str(source), "input_file", "."), Layout(**layout))
    text = b"".join(block.data for block in blocks).decode()
    return [document.split("\n") for document in text.strip().split("\n\n")]


def cleaned(source, folder, valid_fraction=0.0, **layout):
    """The documents that cleaning makes, and its manifest."""
    options = CleanOptions(
        str(source),
        str(folder / "clean.txt"),
        valid_fraction=valid_fraction,
        layout=Layout(**layout),
        cleaning=CleaningRules(fix_mojibake=False),
    )
    manifest = clean.clean(options, Execution(1, tqdm_off=True))
    text = (folder / "clean.txt").read_text("utf-8")
    return [document.split("\n") for document in text.strip().split("\n\n")], manifest


def check(source, folder, **layout):
    assert read(source, **layout) == DOCUMENTS
    documents, manifest = cleaned(source, folder, **layout)
    assert documents == DOCUMENTS and not manifest["unreadable_files"]


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_file_gives_the_same_documents(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    check(tmp_path / name, tmp_path / "out")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.zip"])
def test_the_field_can_be_named(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    check(tmp_path / name, tmp_path / "out", text_field="data.body.text"[5 * (name != "a.json") :])
    with pytest.raises(UsageError, match="--text_field=bodi; (fields|columns) with text: .*body"):
        read(tmp_path / name, text_field="bodi")


@pytest.mark.parametrize("kind", ["parquet", "arrow", "stream", "parquet.gz", "zip"])
def test_tables_are_read_by_batches(tmp_path, kind, monkeypatch):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed; it is an extra")
    from pyarrow import ipc, parquet

    monkeypatch.setattr(tables, "_ROWS", 1)
    table, stream = arrow.Table.from_pylist(ROWS), io.BytesIO()
    if kind in ("arrow", "stream"):
        opened = ipc.new_file if kind == "arrow" else ipc.new_stream
        with opened(stream, table.schema) as writer:
            writer.write_table(table)
    else:
        parquet.write_table(table, stream)
    data = {
        "parquet.gz": gzip.compress(stream.getvalue()),
        "zip": zipped(**{"a.parquet": stream.getvalue()}),
    }.get(kind, stream.getvalue())
    path = tmp_path / ("a." + kind)
    path.write_bytes(data)
    check(path, tmp_path / "out")
    check(path, tmp_path / "out2", text_field=FIELD)
    with pytest.raises(UsageError, match="No text at --text_field=x; columns with text: id, body"):
        read(path, text_field="x")
    path.write_bytes(data[:-40])
    with pytest.raises(UsageError, match="is damaged or cut off"):
        read(path)


def test_pyarrow_is_asked_for_by_name(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(90))
    with pytest.raises(UsageError, match=r"a.parquet is a table of Parquet.*\[tables\]"):
        read(tmp_path / "a.parquet")


def test_a_folder_is_all_that_is_in_it(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.jsonl").write_bytes(FIRST)
    (tmp_path / "in" / "deep" / "b.txt.gz").write_bytes(gzip.compress(SECOND_TEXT))
    (tmp_path / "in" / ".DS_Store").write_bytes(b"\0\1\2")
    assert [len(document) for document in read(tmp_path / "in")] == [2, 1]
    cleaned(tmp_path / "in", tmp_path / "in")  # a manifest and a report lie beside it now
    (tmp_path / "in" / "clean.txt.report.txt").write_text("1 documents")
    found_now = found.find(str(tmp_path / "in"), "input_file", ".")
    assert [os.path.basename(path) for path in found_now] == ["a.jsonl", "clean.txt", "b.txt.gz"]
    with pytest.raises(UsageError, match="clean.txt is to be written, and --input_file=.* has it"):
        cleaned(tmp_path / "in", tmp_path / "in")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty is a folder without such files"):
        read(tmp_path / "empty")


def test_a_saved_dataset_is_its_tables(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed; it is an extra")
    split = tmp_path / "set" / "train"
    split.mkdir(parents=True)
    for number, row in enumerate(ROWS):
        table = arrow.Table.from_pylist([row])
        name = "data-0000{}-of-00002.arrow".format(number)
        with arrow.ipc.new_stream(str(split / name), table.schema) as writer:
            writer.write_table(table)
    (split / "cache-1.arrow").write_bytes(b"none of it")
    (split / "dataset_info.json").write_text('{"description": "not a text of the set"}')
    files = [{"filename": "data-0000{}-of-00002.arrow".format(number)} for number in (0, 1)]
    (split / "state.json").write_text(json.dumps({"_data_files": files}))
    (tmp_path / "set" / "dataset_dict.json").write_text('{"splits": ["train"]}')
    check(tmp_path / "set", tmp_path / "out", text_field=FIELD)


def test_what_is_piped_is_read_more_than_once(tmp_path):
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: open(pipe, "wb").write(LINES.encode()))
    writer.start()
    paths = found.find(pipe, "input_file", str(tmp_path))
    writer.join()
    assert found.identity(paths[0])[:2] == [pipe, len(LINES.encode())]
    check(pipe, tmp_path / "out")


def test_standard_input_is_a_source():
    with standard_input(PLAIN.encode()):
        assert read("-") == DOCUMENTS == read("-")
    found._copies.clear()
    with standard_input(b""), pytest.raises(
        UsageError, match="Nothing came through --input_file=-"
    ):
        read("-")


def test_too_little_text_is_told_with_how_much_is_needed(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text(PLAIN)
    with pytest.raises(
        UsageError, match="2 documents, too few for --valid_fraction=0.01.* about 400"
    ):
        cleaned(tmp_path / "a.txt", tmp_path / "out", valid_fraction=0.01)
    with pytest.raises(UsageError, match="--vocab_size=9000 is too large.* about 3,600 kB"):
        train_tokenizer(str(tmp_path / "a.txt"), str(tmp_path / "m"), 9000)

    def run(title, *command):
        for name in ("train.txt", "valid.txt"):
            (tmp_path / name).write_text(PLAIN)

    monkeypatch.setattr(quickstart, "_run", run)
    for level, typed in (("", "--text="), ("1", "TEXT=")):
        monkeypatch.setenv("MAKELEVEL", level) if level else monkeypatch.delenv("MAKELEVEL", False)
        arguments = argparse.Namespace(text=str(tmp_path / "a.txt"), text_field="")
        with pytest.raises(UsageError, match=typed + ".*a.txt has 126 bytes.* needs 20,480"):
            quickstart._prepare(str(tmp_path), arguments)


@pytest.mark.parametrize(
    "name, data, told",
    [
        (
            "a.tar",
            tarred("w", **{"a.txt": PLAIN.encode() * 99})[:2000],
            "a.tar.*damaged or cut off",
        ),
        ("a.zip", zipped(**{"a.txt": PLAIN.encode()})[:-9], "a.zip is damaged or cut off"),
        ("a.zip", zipped(**{"a.bin": bytes(range(256)) * 9}), "a.zip/inside/a.bin is binary"),
        ("a.docx", OFFICE, "a.docx is an office document"),
        ("a.json", b'{"a": ["b c d", }', "a.json: It is not valid JSON .* at character 17"),
        ("a.jsonl", FIRST + b"\n{", "a.jsonl: Line 2 is not valid JSON"),
        ("a.csv", "body\n\u2013 a b\n".encode("cp1252"), "a.csv is not UTF-8 at byte 5. Convert"),
        ("a.txt", PLAIN.replace("\u2013", "-").encode("utf-16-le"), "a.txt is not UTF-8 at byte 0"),
        ("a.json", b"[" * 80000 + b"]" * 80000, "a.json is nested too deeply"),
    ],
)
def test_what_is_wrong_is_said_with_its_name(tmp_path, name, data, told):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=told):
        read(tmp_path / name)


def test_json_in_runs_is_json(monkeypatch):
    """Whatever its shape, however it is cut, and whether its parts are entered or read whole."""
    rng = random.Random(0)

    def value(depth):
        if depth and rng.random() < 0.6:
            items = [value(depth - 1) for _ in range(rng.randint(0, 4))]
            return (
                items if rng.random() < 0.5 else {"k{}".format(i): v for i, v in enumerate(items)}
            )
        return rng.choice([12.5, None, True, "a b", 'c "\\ \u00e9\U0001f600', -3, ""])

    for _ in range(300):
        whole = [value(4) for _ in range(rng.randint(1, 3))]
        text = " ".join(json.dumps(v, indent=rng.choice([None, 1])) for v in whole)
        size = rng.randint(1, 9)
        runs = [text[i : i + size] for i in range(0, len(text), size)]
        monkeypatch.setattr(json_values, "_WHOLE", rng.choice([0, 5, 40]))
        expected = [leaf for v in whole for leaf in values.leaves(v)]
        assert list(json_values.json_values(runs)) == expected, text
        if len(text) > 2 and text[-1] in "}]":
            with pytest.raises(UsageError, match="not valid JSON"):
                list(json_values.json_values([text[:-1]]))


@pytest.mark.parametrize("wrong", ["[1 2]", "[,1]", '{"a" 1}', "{1: 2}", "[1,,2]", "]", '{"a":1'])
def test_what_is_no_json_is_refused_in_runs_too(monkeypatch, wrong):
    monkeypatch.setattr(json_values, "_WHOLE", 0)
    with pytest.raises(UsageError, match="not valid JSON"):
        list(json_values.json_values(iter(wrong)))


LARGE = {
    "json": '[{}"x"]'.format('{{"body": "{}"}},\n'.format("Kucing itu comel. " * 9) * 8000),
    "html": "<html><body>{}".format("<p>Kucing itu comel sekali.</p>\n" * 40000),
    "srt": "1\n00:00:01,000 --> 00:00:02,000\nKucing itu comel.\n\n" * 30000,
    "csv": "id,body\n" + "1,Kucing itu comel sekali dan tidur.\n" * 40000,
}


@pytest.mark.parametrize("kind", sorted(LARGE))
def test_memory_stays_flat(tmp_path, kind, monkeypatch):
    """Of each a small part is read at a time, also where it is one document."""
    monkeypatch.setattr(cutting, "LONGEST_DOCUMENT", 1 << 16)
    monkeypatch.setattr(cutting, "BLOCK_BYTES", 1 << 14)
    monkeypatch.setattr(decoding, "_RUN_BYTES", 1 << 14)
    monkeypatch.setattr(json_values, "_WHOLE", 1 << 13)
    monkeypatch.setattr(values, "_LOOKED_AT", 100)
    path = tmp_path / ("a." + kind)
    path.write_text(LARGE[kind])
    blocks = list(read_blocks([str(path)]))
    assert max(len(block.data) for block in blocks) < 2 * cutting.LONGEST_DOCUMENT
    read_so_far = [0] + [block.progress for block in blocks]
    ahead = max(b - a for a, b in zip(read_so_far, read_so_far[1:]))
    assert ahead < 4 * cutting.LONGEST_DOCUMENT < path.stat().st_size / 4


def test_cleaning_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(cutting, "BLOCK_BYTES", 2000)
    lines = "".join('{{"body": "Kucing {} itu comel."}}\n'.format(i) for i in range(800))
    (tmp_path / "a.zip").write_bytes(zipped(**{"a.jsonl": lines.encode()}))
    whole, _ = cleaned(tmp_path / "a.zip", tmp_path / "whole")
    asked = []

    def interrupted(pieces, options, clean_piece=units._outcome):
        asked.append(pieces)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return clean_piece(pieces, options)

    monkeypatch.setattr(units, "_outcome", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cleaned(tmp_path / "a.zip", tmp_path / "out")
    assert os.listdir(str(tmp_path / "out")) == ["clean.txt.work"]
    assert cleaned(tmp_path / "a.zip", tmp_path / "out")[0] == whole
    assert asked[3] == asked[4] and len(set(map(str, asked))) == len(asked) - 1
    assert "clean.txt.work" not in os.listdir(str(tmp_path / "out"))
