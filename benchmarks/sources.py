r"""How fast is each source of text read, and does its memory stay flat?

  python -m benchmarks.sources --megabytes=10,40

Writes the documents of Python's own manual, again and again, as every source there is, reads each
in a process of its own as records do, and prints a row of the table in docs/sources.md: megabytes
of text in a second of one core, and the most memory that the process had, for each size.
"""

import argparse
import bz2
import csv
import functools
import gzip
import html
import io
import itertools
import json
import lzma
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile

from preprocess.sources import found
from preprocess.sources.blocks import read_blocks
from quickstart.text import documents

_MEMBER = 1 << 20  # bytes of a member of an archive and of a file of a folder


@functools.lru_cache(maxsize=None)
def manual():
    """The documents of Python's manual."""
    return [document for document in documents() if document]


def texts(size):
    """Documents of about so many bytes in all, no two alike."""
    for turn in itertools.count():
        for document in manual():
            text = "\n".join("{} ({})".format(paragraph, turn) for paragraph in document)
            size -= len(text)
            yield text
            if size < 0:
                return


def plain(found_texts):
    """Documents as plain text, in pieces."""
    return (text.encode() + b"\n\n" for text in found_texts)


def members(pieces, ending):
    """Pieces joined to files of a megabyte: (name, bytes)."""
    for number in itertools.count():
        data = b""
        for piece in pieces:
            data += piece
            if len(data) > _MEMBER:
                break
        if not data:
            return
        yield "{:04d}.{}".format(number, ending), data


def json_lines(found_texts):
    """Documents as lines of JSON."""
    return (json.dumps({"id": "a", "text": text}).encode() + b"\n" for text in found_texts)


def write_json(path, found_texts):
    """One array, as wide as the text."""
    with open(path, "wb") as handle:
        handle.write(b"[")
        for number, line in enumerate(json_lines(found_texts)):
            handle.write(b"," * bool(number) + line)
        handle.write(b"]")


def write_csv(path, found_texts):
    """A table with two columns."""
    with open(path, "w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["id", "text"])
        rows.writerows(["a", text] for text in found_texts)


def write_html(path, found_texts):
    """One page."""
    with open(path, "w") as handle:
        handle.write("<!doctype html><html><body>")
        for text in found_texts:
            handle.writelines("<p>{}</p>\n".format(html.escape(p)) for p in text.split("\n"))


def write_subtitles(path, found_texts):
    """One film."""
    with open(path, "w") as handle:
        for text in found_texts:
            for line in text.split("\n"):
                handle.write("1\n00:00:01,000 --> 00:00:02,000\n{}\n\n".format(line))


def write_timed_text(path, found_texts):
    """One film in TTML."""
    with open(path, "w") as handle:
        handle.write('<?xml version="1.0"?><tt xmlns="http://www.w3.org/ns/ttml"><body>')
        for text in found_texts:
            handle.writelines("<p>{}</p>\n".format(html.escape(p)) for p in text.split("\n"))


def write_parquet(path, found_texts):
    """One file with groups of 10,000 rows."""
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([("id", pyarrow.string()), ("text", pyarrow.string())])
    with parquet.ParquetWriter(path, schema) as writer:
        for table in _tables(found_texts, schema, 10000):
            writer.write_table(table)


def write_dataset(path, found_texts):
    """A saved dataset of Hugging Face: a folder with a stream of batches."""
    import pyarrow

    os.mkdir(path)
    schema = pyarrow.schema([("id", pyarrow.string()), ("text", pyarrow.string())])
    name = "data-00000-of-00001.arrow"
    with open(os.path.join(path, "state.json"), "w") as handle:
        json.dump({"_data_files": [{"filename": name}]}, handle)
    with pyarrow.ipc.new_stream(os.path.join(path, name), schema) as writer:
        for table in _tables(found_texts, schema, 1000):
            writer.write_table(table)


def _tables(found_texts, schema, rows):
    import pyarrow

    found_texts = iter(found_texts)
    while True:
        some = [{"id": "a", "text": text} for text in itertools.islice(found_texts, rows)]
        if not some:
            return
        yield pyarrow.Table.from_pylist(some, schema)


def write_tar(path, found_texts, mode="w", ending="txt", pack=bytes):
    """An archive of megabytes."""
    with tarfile.open(path, mode) as archive:
        for name, data in members(plain(found_texts), ending):
            member = tarfile.TarInfo(name)
            data = pack(data)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_zip(path, found_texts):
    """The same as zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members(json_lines(found_texts), "jsonl"):
            archive.writestr(name, data)


def write_folder(path, found_texts):
    """A file for each megabyte."""
    os.mkdir(path)
    for name, data in members(plain(found_texts), "txt"):
        with open(os.path.join(path, name), "wb") as handle:
            handle.write(data)


def stream(opener):
    """Writes plain text into what `opener(path)` opens."""

    def write(path, found_texts):
        with opener(path) as handle:
            for piece in plain(found_texts):
                handle.write(piece)

    return write


def zstandard(path):
    """Opens a file of Zstandard to write."""
    import zstandard as library

    return library.open(path, "wb")


def write_json_lines(path, found_texts):
    """A value a line."""
    with open(path, "wb") as handle:
        handle.writelines(json_lines(found_texts))


SOURCES = {
    "txt": stream(lambda path: open(path, "wb")),
    "txt.gz": stream(lambda path: gzip.open(path, "wb", 1)),
    "txt.bz2": stream(lambda path: bz2.open(path, "wb", 1)),
    "txt.xz": stream(lambda path: lzma.open(path, "wb", preset=0)),
    "txt.zst": stream(zstandard),
    "jsonl": write_json_lines,
    "json": write_json,
    "csv": write_csv,
    "html": write_html,
    "srt": write_subtitles,
    "ttml": write_timed_text,
    "parquet": write_parquet,
    "saved dataset (Arrow)": write_dataset,
    "tar of txt": write_tar,
    "tar.gz of txt": lambda path, found_texts: write_tar(path, found_texts, "w:gz"),
    "tar of txt.gz": lambda path, found_texts: write_tar(
        path, found_texts, "w", "txt.gz", gzip.compress
    ),
    "zip of jsonl": write_zip,
    "folder of txt": write_folder,
    "standard input, jsonl": write_json_lines,
}


def read(source):
    """Reads a source; prints the bytes of text, the seconds of the processor and the peak."""
    begin = time.process_time()
    paths = found.find(source, "source", tempfile.gettempdir())
    size = sum(len(block.data) for block in read_blocks(paths))
    seconds = time.process_time() - begin
    with open("/proc/self/status") as handle:
        peak = next(int(line.split()[1]) for line in handle if line.startswith("VmHWM"))
    print(size, seconds, peak * 1024)


def measured(name, size, folder):
    """The three numbers of `read`, of a source of so many bytes."""
    ending = name.split(" ")[0]
    path = os.path.join(folder, "source" if ending in ("saved", "folder") else "source." + ending)
    SOURCES[name](path, texts(size))
    piped = name.startswith("standard")
    with open(path if piped else os.devnull, "rb") as handle:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.sources", "--read", "-" if piped else path],
            stdin=handle,
            stdout=subprocess.PIPE,
            check=True,
        )
    return [float(number) for number in done.stdout.split()]


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", default="10,40")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read(arguments.read)
        return
    sizes = [int(number) for number in arguments.megabytes.split(",")]
    print("| source | MB/s |", " | ".join("MB held of {} MB".format(s) for s in sizes), "|")
    print("|---|---|" + "---|" * len(sizes))
    for name in SOURCES:
        peaks = []
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder:
                read_bytes, seconds, peak = measured(name, size * 1000000, folder)
            peaks.append("{:.0f}".format(peak / 1e6))
        print("| {} | {:.0f} | {} |".format(name, read_bytes / 1e6 / seconds, " | ".join(peaks)))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
