"""Cleaning: encodings, formats, sentences, duplicates, the held-out part."""

import bz2
import contextlib
import csv
import gzip
import hashlib
import itertools
import json
import lzma
import os
import subprocess
import sys
import time

import preprocess_corpus as corpus
import pytest

from albert.system.errors import UsageError
from albert.system.files.compression import what_is
from preprocess.clean import clean, dedup, sentences, split, text
from preprocess.clean.clean import CleanOptions
from preprocess.engines import Execution
from preprocess.sources import cutting, decoding
from preprocess.sources.blocks import read_blocks
from preprocess.sources.documents import Layout, documents_of_text

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
try:
    import ftfy  # noqa: F401

    HAS_FTFY = True
except ImportError:
    HAS_FTFY = False
PLAIN = text.CleaningRules(fix_mojibake=HAS_FTFY)


def run(tmp_path, pattern, workers=1, **changes):
    settings = dict(
        input_file=str(tmp_path / pattern),
        output_file=str(tmp_path / "out" / "clean.txt"),
        cleaning=PLAIN,
    )
    settings.update(changes)
    return clean.clean(CleanOptions(**settings), Execution(workers, tqdm_off=True))


def output(tmp_path, name="clean.txt"):
    with open(str(tmp_path / "out" / name), encoding="utf-8") as handle:
        return [doc.split("\n") for doc in handle.read().strip().split("\n\n")]


ESSAY = "Kucing itu comel sekali. Ia tidur di atas kerusi."
PARTS = ["Kucing itu comel sekali.", "Ia tidur di atas kerusi."]
FILES = {
    "a.txt": ESSAY.encode(),
    "b.json": json.dumps([{"id": "x y", "body": {"text": ESSAY}}]).encode(),
    "f.csv": 'id,body\n1,"{}"\n'.format(ESSAY).encode(),
    "g.tsv": "{}\t1\n".format(ESSAY).encode(),  # no header
    "c.jsonl": (json.dumps({"body": ESSAY}) + "\n").encode(),
    "d.html": (
        b"<!DOCTYPE html><html><head><title>t</title><script>var a;</script></head><body>"
        b"<nav>menu</nav><div class='b x'><p>Kucing itu <b>comel</b> sekali.<p>Ia tidur di atas"
        b" kerusi.</div></body></html>"
    ),
    "e.srt": (
        b"1\n00:00:01,000 --> 00:00:02,000\n<i>Kucing itu</i>\ncomel sekali.\n\n"
        b"2\n00:00:03,000 --> 00:00:04,000\n[muzik]\nIa tidur di atas\n\n"
        b"3\n00:00:05,000 --> 00:00:06,000\nkerusi.\n"
    ),
    "f.xml": (
        b'<?xml version="1.0"?>\n<tt xmlns="http://www.w3.org/ns/ttml"><body><div>'
        b"<p begin='1s'>Kucing itu<br/>comel sekali.</p><p>Ia tidur di atas kerusi.</p>"
        b"</div></body></tt>"
    ),
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_format_gives_the_same_document(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    manifest = run(tmp_path, name)
    assert output(tmp_path) == [PARTS]
    assert manifest["unreadable_files"] == 0


@pytest.mark.parametrize("opener", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_files_are_known_by_their_bytes(tmp_path, opener):
    (tmp_path / "a.json.x").write_bytes(opener(FILES["a.txt"]))
    run(tmp_path, "a.json.x")
    assert output(tmp_path) == [PARTS]


@pytest.mark.parametrize(
    "name, data, told",
    [
        ("a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(99), "a 7z archive"),
        ("a.txt", bytes(range(256)) * 9, "binary"),
        ("a.txt", b"\x7fELF\x02\x01\x01" + bytes(200) + b"text" * 50, "binary"),
        ("a.pdf", b"%PDF-1.7 ...", "a PDF"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_text_is_refused_by_name(tmp_path, name, data, told):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match="{}: It is {}".format(name, told)):
        run(tmp_path, name)
    with pytest.raises(UsageError, match="{} is {}".format(name, told)):
        list(read_blocks([str(tmp_path / name)]))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_in_any_encoding_is_text(encoding):
    for text_ in (ESSAY * 9, "\u732b\u306f\u53ef\u611b\u3044\u3002" * 40):
        marked = encoding in ("utf-8", "utf-16", "utf-32") or text_.startswith("K")
        assert what_is(text_.encode(encoding)) == "" or not marked


def test_tables_have_a_header_or_none_and_any_usual_separator(tmp_path):
    for number, (mark, header) in enumerate(itertools.product(",;\t|", (True, False))):
        rows = ([["id", "body", "title"]] if header else []) + [["1", ESSAY, "Kucing"]]
        with open(str(tmp_path / "{}.csv".format(number)), "w", newline="") as handle:
            csv.writer(handle, delimiter=mark).writerows(rows)
        run(tmp_path, "{}.csv".format(number))
        assert output(tmp_path) == [PARTS]
    run(tmp_path, "0.csv", layout=Layout(text_field="title"))
    assert output(tmp_path) == [["Kucing"]]
    with pytest.raises(UsageError, match="No text at --text_field=titel; fields with text: body"):
        run(tmp_path, "0.csv", layout=Layout(text_field="titel"))


def test_zstandard_or_an_honest_report(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    (tmp_path / "a.txt.zst").write_bytes(zstandard.ZstdCompressor().compress(FILES["a.txt"]))
    run(tmp_path, "a.txt.zst")
    assert output(tmp_path) == [PARTS]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
def test_encodings_are_found(encoding):
    original = "Harga kopi naik \u2013 caf\u00e9 \u201cna\u00efve\u201d tutup awal. " * 20
    decoded = decoding.decode(original.encode(encoding))
    assert decoded.text == original and decoded.replaced == 0


@pytest.mark.parametrize("damage", [(b"\n", b"\r\n"), (b"\n\x00", b"\n"), (b"\r\x00\n\x00", b"\n")])
def test_utf16_with_rewritten_line_ends_is_repaired(damage):
    original = "Dalam sejarah tinju\r\ntiada cerita manusia\r\n\r\n" * 30
    damaged = b"\xff\xfe" + original.encode("utf-16-le").replace(*damage)
    decoded = decoding.decode(damaged)
    assert decoded.text.split() == original.split()


def test_some_bad_bytes_do_not_make_utf8_something_else():
    data = ("Kata \u201cbagus\u201d sekali. " * 50).encode()
    decoded = decoding.decode(data[:500] + b"\xff" + data[500:])
    assert decoded.encoding == "utf-8" and decoded.replaced >= 1
    assert "\u201cbagus\u201d" in decoded.text


def test_paragraphs_are_cleaned():
    dirty = "VIVA<\\/strong>\\u00a0\\u2013 lihat https://a.b/c?d=e  di\u200b @Ali_1 x@y.com"
    dirty += " &amp; ini\x07"
    assert text.clean(dirty, PLAIN) == "VIVA \u2013 lihat di & ini"
    kept = PLAIN._replace(remove_urls=False, remove_handles=False, lower_case=True)
    assert text.clean("Lihat https://a.b @Ali", kept) == "lihat https://a.b @ali"
    assert text.clean("e\u0301", PLAIN) == "\u00e9"
    assert text.clean("3 < 5 dan a > b", PLAIN) == "3 < 5 dan a > b"


@pytest.mark.skipif(not HAS_FTFY, reason="ftfy is not installed")
def test_mojibake_is_repaired():
    broken = "\u201cbagus\u201d caf\u00e9".encode().decode("cp1252", "ignore")
    assert "caf\u00e9" in text.clean(broken)


@pytest.mark.skipif(HAS_FTFY, reason="ftfy is installed")
def test_missing_ftfy_is_explained(tmp_path):
    (tmp_path / "a.txt").write_bytes(FILES["a.txt"])
    with pytest.raises(UsageError, match="--nofix_mojibake"):
        run(tmp_path, "a.txt", cleaning=text.CleaningRules())


@pytest.mark.parametrize(
    "paragraph, parts",
    [
        ("Dia pulang. Saya tidak.", 2),
        ("Dr. Ali dan Hj. Abu tiba pada 3.30 petang. Mereka makan.", 2),
        ('"Ya," katanya. "Benarkah?" Siapa tahu...', 3),
        ("J. K. Rowling menulis. No. 5 di Jl. Sudirman.", 2),
        ("1. Perkara pertama. 2. Perkara kedua.", 4),
        ("Harga RM2.50 naik 3.5 peratus.", 1),
        ("dll. dan lain-lain", 1),
        ("\u6211\u6765\u4e86\u3002\u4f60\u5462\uff1f", 2),
        ("", 0),
    ],
)
def test_rules_split_malay(paragraph, parts):
    found = sentences.splitter("rules")(paragraph)
    assert len(found) == parts if "1. Per" not in paragraph else len(found) <= parts
    assert "".join("".join(found).split()) == "".join(paragraph.split())


def test_sentencex_or_an_honest_error():
    try:
        import sentencex  # noqa: F401
    except ImportError:
        with pytest.raises(UsageError, match="--splitter=rules works everywhere"):
            sentences.splitter("sentencex")
        assert len(sentences.splitter("auto", "en")("One. Two.")) == 2
        return
    found = sentences.splitter("auto", "en")("Mr. Smith left. He ran.")
    assert found == ["Mr. Smith left.", "He ran."]


def test_exact_duplicates_are_dropped_and_counted(tmp_path):
    documents = [["Satu dua tiga."], ["Empat lima."], ["Satu  dua tiga."], ["Enam."]]
    corpus.write_text(tmp_path / "a.txt", documents)
    corpus.write_text(tmp_path / "b.txt", documents[:2])
    manifest = run(tmp_path, "*.txt")
    assert output(tmp_path) == [["Satu dua tiga."], ["Empat lima."], ["Enam."]]
    assert manifest["counts"]["exact_duplicates"] == 3
    assert run(tmp_path, "?.txt", dedup="none")["counts"]["train_documents"] == 6


def test_near_duplicates_are_dropped(tmp_path):
    pytest.importorskip("datasketch")
    docs = corpus.documents(60, seed=5)
    docs = [doc for doc in docs if sum(len(line) for line in doc) > 300]
    changed = [doc[:-1] + [doc[-1] + " Tamat."] for doc in docs[:10]]
    corpus.write_text(tmp_path / "a.txt", docs + changed)
    counts = run(tmp_path, "a.txt", dedup="near")["counts"]
    assert counts["near_duplicates"] == 10 and counts["exact_duplicates"] == 0
    assert counts["train_documents"] == len(docs)


def test_missing_datasketch_is_explained(tmp_path):
    try:
        import datasketch  # noqa: F401

        pytest.skip("datasketch is installed")
    except ImportError:
        pass
    (tmp_path / "a.txt").write_bytes(FILES["a.txt"])
    with pytest.raises(UsageError, match="--dedup=exact"):
        run(tmp_path, "a.txt", dedup="near")
    assert dedup.Seen("exact").duplicate(b"x", None) == ""


def test_held_out_part_is_stable_and_disjoint(tmp_path):
    docs = corpus.documents(400, longest=3)
    corpus.write_text(tmp_path / "a.txt", docs[:200])
    run(tmp_path, "a.txt", valid_fraction=0.25)
    before = {tuple(doc) for doc in output(tmp_path, "clean.valid.txt")}
    corpus.write_text(tmp_path / "0.txt", docs[200:])
    counts = run(tmp_path, "?.txt", valid_fraction=0.25)["counts"]
    after = {tuple(doc) for doc in output(tmp_path, "clean.valid.txt")}
    assert before <= after and not after & {tuple(doc) for doc in output(tmp_path)}
    assert counts["valid_documents"] == pytest.approx(100, abs=30)
    assert split.is_validation("a b", 0.3) == split.is_validation(" a\n b ", 0.3)
    assert split.is_validation("x", 1.0) and not split.is_validation("x", 0.0)


def test_unreadable_files_are_reported_not_dropped(tmp_path):
    (tmp_path / "a.txt").write_bytes(FILES["a.txt"])
    (tmp_path / "b.json").write_bytes(b'{"a": ')
    (tmp_path / "c.txt").write_bytes(b"")
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(b"x" * 10000)[:-20])
    manifest = run(tmp_path, "[a-d].*")
    assert manifest["unreadable_files"] == 3
    errors = {os.path.basename(p): entry["error"] for p, entry in manifest["inputs"].items()}
    assert "not valid JSON" in errors["b.json"] and "empty" in errors["c.txt"]
    assert errors["d.txt.gz"] and not errors["a.txt"]
    with pytest.raises(UsageError, match="gives no document.*b.json"):
        run(tmp_path, "b.json")


def test_json_nested_too_deeply_is_unreadable(tmp_path):
    (tmp_path / "a.txt").write_bytes(FILES["a.txt"])
    (tmp_path / "b.json").write_bytes(b"[" * 100000 + b"]" * 100000)
    manifest = run(tmp_path, "[ab].*")
    assert manifest["unreadable_files"] == 1 and output(tmp_path) == [PARTS]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_half_a_character_in_json_costs_no_text(tmp_path, name):
    (tmp_path / name).write_text('{"text": "Saya makan nasi \\ud83d goreng di rumah."}\n')
    run(tmp_path, name)
    ((line,),) = output(tmp_path)
    assert line.startswith("Saya makan nasi ") and line.endswith(" goreng di rumah.")


@pytest.mark.parametrize("mark", ["<![ x ]>", "<![", "<!-", "<![endif]-->", "<![CDATA[ a > b ]]>"])
def test_marks_that_are_no_html_are_skipped(tmp_path, mark):
    page = "<html><p>Kucing itu comel sekali.</p>{}<p>Ia tidur di atas kerusi.</p></html>"
    (tmp_path / "a.html").write_text(page.format(mark))
    assert run(tmp_path, "a.html")["unreadable_files"] == 0
    assert output(tmp_path)[0][0] == PARTS[0]


def test_fields_and_elements_can_be_named(tmp_path):
    (tmp_path / "a.json").write_bytes(
        json.dumps({"items": [{"t": "Satu dua."}, {"t": "Tiga."}], "long": ESSAY * 9}).encode()
    )
    run(tmp_path, "a.json", layout=Layout(text_field="items.t"))
    assert output(tmp_path) == [["Satu dua."], ["Tiga."]]
    with pytest.raises(UsageError, match="fields with text: .*items.t"):
        run(tmp_path, "a.json", layout=Layout(text_field="body"))
    page = b"<html><div class='d'>Satu.</div>x<div class='d e'>Dua <i>tiga</i>.</div></html>"
    (tmp_path / "a.html").write_bytes(page)
    run(tmp_path, "a.html", layout=Layout(html_select="div.d"))
    assert output(tmp_path) == [["Satu."], ["Dua tiga."]]
    (tmp_path / "l.txt").write_bytes(b"Satu.\nDua.\n\nTiga.\n")
    run(tmp_path, "l.txt", layout=Layout(documents="line"))
    assert output(tmp_path) == [["Satu."], ["Dua."], ["Tiga."]]
    run(tmp_path, "l.txt", layout=Layout(documents="file"))
    assert output(tmp_path) == [["Satu.", "Dua.", "Tiga."]]


def test_large_files_are_streamed_with_equal_bytes_for_any_workers(tmp_path, monkeypatch):
    corpus.write_text(tmp_path / "a.txt", corpus.documents(1500))
    whole = run(tmp_path, "a.txt", num_files=2)
    names = [tmp_path / "out" / "clean.txt-0000{}-of-00002".format(i) for i in (0, 1)]
    before = [hashlib.sha256(name.read_bytes()).hexdigest() for name in names]
    monkeypatch.setattr(cutting, "BLOCK_BYTES", 60000)
    for workers in (1, 2):
        streamed = run(tmp_path, "a.txt", workers, num_files=2)
        assert streamed["counts"] == whole["counts"]
        assert [hashlib.sha256(name.read_bytes()).hexdigest() for name in names] == before


def test_large_json_lines_have_one_field(tmp_path, monkeypatch):
    """The longer text of later lines must not win there alone."""
    monkeypatch.setattr(cutting, "BLOCK_BYTES", 20000)
    lines = [
        {"body": "Isi dokumen nombor {} ini.".format(i), "note": "catatan panjang " * (i // 200)}
        for i in range(1500)
    ]
    data = "\n".join(json.dumps(line) for line in lines)
    (tmp_path / "a.jsonl").write_text(data + "\n")
    counts = run(tmp_path, "a.jsonl")["counts"]
    assert counts["train_documents"] == 1500 and counts["train_words"] == 1500 * 5


def test_outputs_that_cannot_be_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text(ESSAY)
    with pytest.raises(UsageError, match="--output_file=.* is a folder; add a file name"):
        run(tmp_path, "a.txt", output_file=str(tmp_path))
    one = str(tmp_path / "clean.txt")
    with pytest.raises(UsageError, match="--valid_file=.* is --output_file too"):
        run(tmp_path, "a.txt", output_file=one, valid_file=one, valid_fraction=0.5)
    assert sorted(os.listdir(str(tmp_path))) == ["a.txt"]


KILLED = """
import os, signal, sys
from pathlib import Path
from preprocess.clean import clean
clean.clean_unit = lambda *some: os.kill(os.getpid(), signal.SIGKILL)
from test_preprocess_clean import run
run(Path(sys.argv[1]), "a.txt")
"""


def test_what_a_killed_job_left_goes(tmp_path):
    (tmp_path / "a.txt").write_text("Saya makan nasi. Dia minum air.\n")
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([ROOT, os.path.dirname(__file__)]))
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=environment)
    assert len(os.listdir(str(tmp_path / "out"))) == 2
    run(tmp_path, "a.txt")
    assert sorted(os.listdir(str(tmp_path / "out"))) == ["clean.txt", "clean.txt.manifest.json"]


def test_the_command_reports_and_leaves_nothing_behind(tmp_path):
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "preprocess",
            "clean",
            "--input_file={}/?.*".format(tmp_path),
            "--output_file={}/out/clean.txt".format(tmp_path),
            "--num_workers=1",
            "--fix_mojibake={}".format(HAS_FTFY),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr
    assert "1  train documents" in result.stdout and "7  exact duplicates" in result.stdout
    assert sorted(os.listdir(str(tmp_path / "out"))) == [
        "clean.txt",
        "clean.txt.manifest.json",
        "clean.txt.report.txt",
    ]


RUNS = (
    'a a. a- A. a.b. 1. . ! ." " < <a <a> & &amp; @ a@ a@a. \u200d \\u00 www. http://a. , - _ '
    "\u3002 <p> </p> <p <br {\\ 1: 00:00 [ \u266a"
).split(" ") + [" ", "\t", "a ", ". ", "A. ", ".\n"]


def seconds(rule, given):
    best = 1e9
    for _ in range(3):
        start = time.process_time()
        with contextlib.suppress(UsageError):
            rule(given)
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize(
    "rule",
    [
        lambda given: text.clean(given, text.CleaningRules(fix_mojibake=False)),
        sentences.splitter("rules"),
        lambda given: list(documents_of_text([given], "srt", Layout())),
        lambda given: list(documents_of_text([given], "ttml", Layout())),
    ],
    ids=["clean", "sentences", "subtitles", "timed text"],
)
@pytest.mark.parametrize("unit", RUNS)
def test_rules_take_time_in_proportion_to_the_text(rule, unit):
    """Eight times the text takes eight times as long, not sixty-four times."""
    short, long = (unit * (size // len(unit)) + "x" for size in (5_000, 40_000))
    assert seconds(rule, long) < 24 * seconds(rule, short) + 0.25
