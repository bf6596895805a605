"""The commands pack, unpack and verify: reproducible bytes, and archives by strangers refused."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from conftest import ROOT, SIZES
from malay import PIECES, model
from test_import_export import LAYOUTS, PUBLISHED, albert, published, small_run

from albert.checkpoints.manager import (
    CheckpointManager,
    latest_checkpoint,
    read_tensors,
    write_tensors,
)
from albert.compat import tf
from albert.formats.release.extract import extract
from albert.formats.release.stream import Limits
from albert.formats.release.unpack import unpacked
from albert.model.config import ModelConfig
from albert.model.initial import initial_values
from albert.system.errors import UsageError


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pack(tmp_path, name="my-albert.tar.gz", *more):
    archive = tmp_path / "out" / name
    flags = ["--output_dir={}".format(tmp_path / "run"), "--archive={}".format(archive)]
    assert albert("pack", *(flags + list(more))) == 0
    return archive


def unpack(archive, directory, *more):
    return albert(
        "unpack", "--archive={}".format(archive), "--output_dir={}".format(directory), *more
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_release_goes_round(layout, tmp_path, capsys):
    config = small_run(tmp_path / "run", layout, slots=True)
    (tmp_path / "run" / "tokenizer.vocab").write_text("piece\t0\n")
    archive = pack(tmp_path)
    assert "--sha256={}".format(sha256(archive)) in capsys.readouterr().out
    assert os.listdir(str(tmp_path / "out")) == ["my-albert.tar.gz"]
    assert albert("verify", archive) == 0
    seen = capsys.readouterr().out
    assert "SHA256SUMS: 9 files match." in seen
    assert "all that the config ({} layout) asks for".format(layout) in seen
    assert "tokenizer.model: 300 pieces; vocab_size is 300." in seen
    assert "One batch of 4 x 41 random pieces: masked-LM loss " in seen
    out = tmp_path / "new" / "folder"
    assert unpack(archive, out, "--sha256=" + sha256(archive).upper()) == 0
    assert sorted(os.listdir(str(out))) == [
        "README.md",
        "SHA256SUMS",
        "albert_config.json",
        "checkpoint",
        "eval_results.txt",
        "model.ckpt-best.data-00000-of-00001",
        "model.ckpt-best.index",
        "text.json",
        "tokenizer.model",
        "tokenizer.vocab",
    ]
    weights = initial_values(config, 3)
    found = read_tensors(latest_checkpoint(str(out)))
    assert {name: value.tobytes() for name, value in found.items()} == {
        name: value.tobytes() for name, value in weights.items()
    }
    assert ModelConfig.from_json_file(str(out / "albert_config.json")) == config
    assert (out / "tokenizer.model").read_bytes() == open(model(), "rb").read()
    assert "loss = 6.5\n" in (out / "eval_results.txt").read_text()
    readme = (out / "README.md").read_text(encoding="utf-8")
    assert "| loss | 6.5000 |" in readme and "python -m albert import" in readme
    assert albert("verify", out) == 0


def test_packing_again_gives_the_same_bytes(tmp_path):
    small_run(tmp_path / "run", "google")
    first = pack(tmp_path).read_bytes()
    for name in os.listdir(str(tmp_path / "run")):
        os.utime(str(tmp_path / "run" / name), (1e9, 1e9))
    os.chmod(str(tmp_path / "run" / "tokenizer.model"), 0o600)
    assert pack(tmp_path).read_bytes() == first
    assert first[3:8] == b"\0" * 5  # gzip: no name, no time
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        members = tar.getmembers()
    names = [member.name for member in members]
    assert names == sorted(names) and names[0] == "my-albert"
    year_1980 = 315532800
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {
        (0, 0, "", "", year_1980)
    }
    assert {m.mode for m in members[1:]} == {0o644}


def test_what_cannot_be_released_is_refused(tmp_path, capsys):
    config = small_run(tmp_path / "run", "google")

    def message(*arguments):
        flags = ["--output_dir={}".format(tmp_path / "run")] + list(arguments)
        assert albert("pack", *flags) == 2
        assert not (tmp_path / "a.tar.gz").exists()
        return capsys.readouterr().err

    archive = "--archive={}".format(tmp_path / "a.tar.gz")
    assert "must end in .tar.gz" in message("--archive={}".format(tmp_path / "a.zip"))
    assert "has a backslash or a colon" in message("--archive=a:b.tar.gz")
    other = tmp_path / "other.json"
    other.write_text(json.dumps(dict(json.loads(config.to_json()), max_position_embeddings=40)))
    assert "position_embeddings: [41, 13] in the checkpoint, [40, 13] in the config" in message(
        archive, "--albert_config_file={}".format(other)
    )
    (tmp_path / "run" / "tokenizer.model").write_bytes(b"text")
    assert "is not a SentencePiece model" in message(archive)
    shutil.rmtree(str(tmp_path / "run"))
    small = ModelConfig.from_dict(dict(SIZES, layout="google"))
    small_run(tmp_path / "run", "google")
    write_tensors(str(tmp_path / "run" / "model.ckpt-7"), initial_values(small, 3))
    (tmp_path / "run" / "albert_config.json").write_text(small.to_json())
    assert "has 300 pieces, but the model knows 101" in message(archive)


@pytest.mark.parametrize("layout, prefix, config_name, slots", PUBLISHED)
def test_published_archives_are_verified_and_imported(
    layout, prefix, config_name, slots, tmp_path, capsys
):
    folder, golden = published(tmp_path, layout, prefix, config_name, slots)
    # Their tokenizers have as many pieces as their models know; these do not.
    os.remove(str(folder / "sp10m.cased.v10.model"))
    archive = tmp_path / "albert-base.tar.gz"
    with tarfile.open(str(archive), "w:gz") as tar:
        tar.add(str(folder), "./albert-base")
    assert albert("verify", archive) == 0
    assert "No SHA256SUMS" in capsys.readouterr().out
    back = tmp_path / "back"
    flags = ["--output_dir={}".format(back), "--sha256=" + sha256(archive)]
    assert albert("import", archive, *flags) == 0
    found = read_tensors(latest_checkpoint(str(back)))
    for name, value in golden.parameters.items():
        assert found[name].tobytes() == value.tobytes(), name
    assert sorted(os.listdir(str(tmp_path))) == ["albert-base", "albert-base.tar.gz", "back"]


def tamper(folder, how):
    if how == "changed":
        path = folder / "albert_config.json"
        path.write_text(path.read_text() + "\n")
    elif how == "unlisted":
        (folder / "more.txt").write_text("x")
    elif how == "missing":
        os.remove(str(folder / "README.md"))
    elif how == "twice":
        text = (folder / "SHA256SUMS").read_text()
        (folder / "SHA256SUMS").write_text(text + text.splitlines()[0] + "\n")


@pytest.mark.parametrize(
    "how, told",
    [
        ("changed", "'albert_config.json' has another checksum"),
        ("unlisted", "'more.txt' is not listed"),
        ("missing", "'README.md' is missing"),
        ("twice", "is not a new `CHECKSUM  NAME`"),
    ],
)
def test_a_tampered_release_is_refused(how, told, tmp_path, capsys):
    small_run(tmp_path / "run", "google")
    out = tmp_path / "release"
    assert unpack(pack(tmp_path), out) == 0
    tamper(out, how)
    assert albert("verify", out) == 2
    assert told in capsys.readouterr().err
    with tarfile.open(str(tmp_path / "tampered.tar.gz"), "w:gz") as tar:
        tar.add(str(out), "release")
    before = sorted(os.listdir(str(tmp_path)))
    assert unpack(tmp_path / "tampered.tar.gz", tmp_path / "again") == 2
    error = capsys.readouterr().err
    assert told in error and "tampered.tar.gz" in error
    assert sorted(os.listdir(str(tmp_path))) == before


def test_verify_loads_and_computes(tmp_path, capsys):
    config = small_run(tmp_path / "run", "google")
    values = initial_values(config, 3)
    values["bert/pooler/dense/bias"] = values["bert/pooler/dense/bias"] * np.nan
    write_tensors(str(tmp_path / "run" / "model.ckpt-7"), values)
    assert albert("verify", tmp_path / "run") == 2
    assert "hold NaN or Inf, first 'bert/pooler/dense/bias'" in capsys.readouterr().err
    path = tmp_path / "run" / "albert_config.json"
    path.write_text(json.dumps(dict(json.loads(config.to_json()), vocab_size=PIECES - 1)))
    assert albert("verify", tmp_path / "run") == 2
    assert "word_embeddings: [300, 13] in the checkpoint, [299, 13]" in capsys.readouterr().err
    # What a `checkpoint` file says about other folders is not believed.
    small_run(tmp_path / "other", "google")
    for name in os.listdir(str(tmp_path / "run")):
        if name.startswith("model.ckpt"):
            os.remove(str(tmp_path / "run" / name))
    line = 'model_checkpoint_path: "{}"\n'.format(tmp_path / "other" / "model.ckpt-7")
    (tmp_path / "run" / "checkpoint").write_text(line)
    assert albert("verify", tmp_path / "run") == 2
    assert "holds no checkpoint" in capsys.readouterr().err
    assert albert("verify", tmp_path / "nothing.tar.gz") == 2
    assert "No such file" in capsys.readouterr().err


# Hostile archives: each is written by hand and must leave nothing on the disk.


def entry(name, content=b"x", **changes):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in changes.items():
        setattr(member, field, value)
    return member, content


def archive_of(*entries, **options):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **options) as tar:
        for member, content in entries:
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def link(kind, target="/etc/passwd"):
    return entry("a/link", b"", type=kind, linkname=target)


def header(name, size, kind=b"0", body=b""):
    """A raw header, with what `tarfile` would refuse to write."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = size if isinstance(size, bytes) else "{:011o}\0".format(size).encode()
    block[156:157] = kind
    block[148:156] = b" " * 8
    block[148:156] = "{:06o}\0 ".format(sum(block)).encode()
    return bytes(block) + body + b"\0" * (-len(body) % 512)


def pax(*records):
    """An extended header for the next member."""
    body = b""
    for record in records:
        length = len(record) + 3
        while len(str(length)) + len(record) + 2 != length:
            length += 1
        body += str(length).encode() + b" " + record + b"\n"
    return header("pax", len(body), b"x", body)


END = b"\0" * 1024
GOOD = archive_of(entry("a/file"))
HOSTILE = {
    "absolute path": (archive_of(entry("/tmp/albert-evil")), "is an absolute path"),
    "double slash": (archive_of(entry("//tmp/albert-evil")), "is an absolute path"),
    "absolute folder": (archive_of(entry("/tmp/evil", b"", type=b"5")), "is an absolute path"),
    "parent": (archive_of(entry("../evil")), "leads out"),
    "parent inside": (archive_of(entry("a/b/../../../evil")), "leads out"),
    "parent at the end": (archive_of(entry("a/..", b"", type=b"5")), "leads out"),
    "parent in an extended header": (pax(b"path=../evil") + header("a", 0) + END, "leads out"),
    "parent in a long name": (
        archive_of(entry("../" + "a" * 150), format=tarfile.GNU_FORMAT),
        "leads out",
    ),
    "symbolic link": (archive_of(link(tarfile.SYMTYPE)), "is a symbolic link"),
    "file through a link": (
        archive_of(link(tarfile.SYMTYPE, "/tmp"), entry("a/link/evil")),
        "is a symbolic link",
    ),
    "hard link": (archive_of(link(tarfile.LNKTYPE)), "is a hard link"),
    "hard link with content": (header("a", 1, b"1", b"x") + END, "is a hard link"),
    "character device": (archive_of(link(tarfile.CHRTYPE)), "is a device"),
    "block device": (archive_of(link(tarfile.BLKTYPE)), "is a device"),
    "pipe": (archive_of(link(tarfile.FIFOTYPE)), "is a pipe"),
    "unknown kind": (archive_of(entry("a/file", b"", type=b"V")), "of an unknown kind"),
    "sparse file": (header("a", 0, b"S") + END, "of an unknown kind"),
    "sparse file in an extended header": (
        pax(b"GNU.sparse.size=9999999999", b"GNU.sparse.map=0,1") + header("a", 1, body=b"x") + END,
        "of an unknown kind",
    ),
    "name twice": (archive_of(entry("a/file"), entry("a/file", b"y")), "is in it twice"),
    "name twice, spelt otherwise": (
        archive_of(entry("a/file"), entry("./a//./file")),
        "is in it twice",
    ),
    "folder twice": (
        archive_of(entry("a", b"", type=b"5"), entry("a/", b"", type=b"5")),
        "is in it twice",
    ),
    "file as folder": (archive_of(entry("a"), entry("a/b")), "is in it twice"),
    "file as folder of folders": (archive_of(entry("a"), entry("a/b/c")), "is in it twice"),
    "folder as file": (archive_of(entry("a/b"), entry("a")), "is in it twice"),
    "file without a name": (archive_of(entry("./.")), "of an unknown kind"),
    "backslash": (archive_of(entry("a\\..\\..\\evil")), "has a backslash or a colon"),
    "drive": (archive_of(entry("C:/evil")), "has a backslash or a colon"),
    "stream of a file": (archive_of(entry("a/file:evil")), "has a backslash or a colon"),
    "NUL": (pax(b"path=a\0b") + header("a", 0) + END, "has control characters"),
    "line break": (archive_of(entry("a\nb")), "has control characters"),
    "terminal command": (archive_of(entry("a\033[2Jb")), "has control characters"),
    "no UTF-8": (archive_of(entry("a\udcffb")), "has control characters"),
    "long name": (archive_of(entry("a" * 250)), "is too long"),
    "deep name": (archive_of(entry("a/" * 600 + "b")), "is too long"),
    "many files": (
        archive_of(*[entry("a/{}".format(n), b"") for n in range(1001)]),
        "holds more than 1,000 files",
    ),
    "size larger than the archive": (header("a", 1 << 32) * 2 + END, "is cut short"),
    "size beyond the limit": (
        header("a", b"\x80" + struct.pack(">11B", *([0] * 5 + [1] + [0] * 5))) + END,
        "unpacks to more than 8,589,934,592 bytes",
    ),
    "negative size": (
        header("a", b"\xff" * 11 + b"\xfe") + END,
        "negative size",
    ),
    "size smaller than the content": (header("a", 3, body=b"z" * 2000) + END, "is damaged"),
    "size larger than the content": (header("a", 5000, body=b"z") + END, "cut short"),
    "endless extended header": (header("x", 1 << 30, b"x") + END, "a header of more than"),
    "endless long name": (header("x", 1 << 30, b"L") + END, "a header of more than"),
    "chain of headers": (pax(b"comment=a") * 2000 + header("a", 0) + END, "a header of more than"),
    "extended header of length 0": (header("x", 6, b"x", b"0 a=b\n") + END, "damaged|cut short"),
    "sparse map of zeros": (
        pax(b"GNU.sparse.major=1", b"GNU.sparse.minor=0", b"GNU.sparse.name=a")
        + header("a", 1 << 20, body=b"999999\n" + b"0\n" * (1 << 19))
        + END,
        "a header of more than",
    ),
    "wrong sum of a header": (
        GOOD[:1024] + GOOD[:100] + b"1" + GOOD[101:],
        "something else than a header",
    ),
    "no end": (GOOD[:1024], "cut short"),
    "half a header": (GOOD[:1024] + GOOD[:300], "cut short"),
    "content after the end": (GOOD + GOOD, "something else than a header"),
    "empty": (END, "is empty"),
    "no tar": (b"text " * 500, "damaged or no tar"),
    "nothing": (b"", "damaged or no tar"),
}


def refused(path, tmp_path, capsys, told):
    before = sorted(os.listdir(str(tmp_path)))
    assert unpack(path, tmp_path / "new" / "out") == 2
    error = capsys.readouterr().err
    assert re.search(told, error), error
    assert "was not unpacked" in error and "Traceback" not in error
    assert len([line for line in error.splitlines() if line.startswith("ERROR")]) == 1
    assert sorted(os.listdir(str(tmp_path))) == before
    assert not os.path.exists("/tmp/albert-evil")


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_archives_are_refused_and_leave_nothing(name, tmp_path, capsys):
    content, told = HOSTILE[name]
    path = tmp_path / "evil.tar.gz"
    path.write_bytes(gzip.compress(content, 1))
    refused(path, tmp_path, capsys, told)


@pytest.mark.parametrize(
    "how, told",
    [
        ("no gzip", "is not compressed by gzip"),
        ("cut short", "damaged or cut short"),
        ("wrong sum", "damaged or cut short"),
        ("wrong length", "damaged or cut short"),
        ("flipped bit", "damaged|more than|cut short|is not compressed"),
        ("a folder", "cannot be read"),
    ],
)
def test_damaged_gzip_is_refused_and_leaves_nothing(how, told, tmp_path, capsys):
    content = os.urandom(2000)
    packed = gzip.compress(archive_of(entry("a/file", content)))
    path = tmp_path / "broken.tar.gz"
    if how == "a folder":
        path.mkdir()
    else:
        path.write_bytes(
            {
                "no gzip": GOOD,
                "cut short": packed[: len(packed) // 2],
                "wrong sum": packed[:-8] + b"\0\0\0\0" + packed[-4:],
                "wrong length": packed[:-4] + b"\1\0\0\0",
                "flipped bit": packed[:1000] + bytes([packed[1000] ^ 16]) + packed[1001:],
            }[how]
        )
    refused(path, tmp_path, capsys, told)


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path):
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(header("a/zeros", 1 << 32) + b"\0" * (20 << 20)))
    out = tmp_path / "out"
    out.mkdir()
    limits = Limits(ratio_free=1 << 20)
    with pytest.raises(UsageError, match="unpacks to more than 100 times its size"):
        extract(str(path), str(out), limits)
    assert (out / "a" / "zeros").stat().st_size <= (1 << 20) + 100 * path.stat().st_size
    # The same after the end of the archive, where no member says how long it is.
    path.write_bytes(gzip.compress(GOOD + b"\0" * (4 << 20)))
    with pytest.raises(UsageError, match="unpacks to more than 100 times its size"):
        extract(str(path), str(tmp_path / "out2"), limits)
    with pytest.raises(UsageError, match="unpacks to more than 1,000,000 bytes"):
        extract(str(path), str(tmp_path / "out3"), Limits(size=10**6))


def with_right_sums(content):
    """An archive whose changed headers are believed."""
    for start in range(0, len(content), 512):
        if content[start + 257 : start + 262] == b"ustar":
            content[start + 148 : start + 156] = b" " * 8
            total = sum(content[start : start + 512])
            content[start + 148 : start + 156] = "{:06o}\0 ".format(total).encode()
    return bytes(content)


def test_random_damage_never_escapes(tmp_path):
    """Whatever bytes change: an archive is unpacked inside its folder, or refused."""
    random = np.random.RandomState(5)
    good = [
        archive_of(entry("./a/", b"", type=b"5"), entry("./a/ü" + "long" * 45, b"y" * 600)),
        archive_of(entry("b" * 180, b"z" * 9), format=tarfile.GNU_FORMAT),
    ]
    extracted = 0
    for number in range(400):
        content = bytearray(good[number % 2])
        used = len(content.rstrip(b"\0"))
        for place in random.randint(0, used, size=random.randint(1, 4)):
            content[place] = random.randint(256)
        path = tmp_path / "fuzz.tar.gz"
        path.write_bytes(gzip.compress(with_right_sums(content), 1))
        out = tmp_path / "fuzz" / str(number)
        out.mkdir(parents=True)
        with contextlib.suppress(UsageError):
            extract(str(path), str(out))
            extracted += 1
    assert sorted(os.listdir(str(tmp_path))) == ["fuzz", "fuzz.tar.gz"]
    assert 20 < extracted < 380


KILLED = """
import os, signal, sys
from albert.formats.release.unpack import unpacked
with unpacked(sys.argv[1], None, sys.argv[2], False):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_import_unpacked_goes(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(archive_of(entry("a/b", b"c"))))
    new = tmp_path / "place" / "new"
    new.parent.mkdir()
    command = [sys.executable, "-c", KILLED, str(tmp_path / "a.tar.gz"), str(new)]
    subprocess.run(command, cwd=ROOT)
    assert len(os.listdir(str(new.parent))) == 1
    with unpacked(str(tmp_path / "a.tar.gz"), None, str(new), False) as folder:
        assert os.listdir(folder) == ["b"] and len(os.listdir(str(new.parent))) == 1
    assert os.listdir(str(new.parent)) == []


def test_folders_in_use_are_left_alone(tmp_path, capsys):
    path = tmp_path / "good.tar.gz"
    path.write_bytes(gzip.compress(GOOD))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    assert unpack(path, tmp_path / "out") == 2
    assert "is not empty" in capsys.readouterr().err
    assert unpack(path, tmp_path / "out" / "mine") == 2
    assert "is a file" in capsys.readouterr().err
    assert unpack(path, tmp_path / "out" / "mine" / "below") == 2
    assert "Cannot write to" in capsys.readouterr().err
    assert (tmp_path / "out" / "mine").read_text() == "x"
    assert os.listdir(str(tmp_path / "out")) == ["mine"]
    (tmp_path / "empty").mkdir()
    assert unpack(path, tmp_path / "empty") == 0
    assert os.listdir(str(tmp_path / "empty")) == ["file"]


def test_every_checkpoint_of_a_run_is_verified(tmp_path, capsys):
    config = small_run(tmp_path / "run", "google")
    variables = {n: tf.Variable(v) for n, v in initial_values(config, seed=0).items()}
    for step in (7, 9):
        path = CheckpointManager(str(tmp_path / "run"), keep=3).save(variables, step)
    assert albert("verify", str(tmp_path / "run")) == 0
    told = capsys.readouterr().out
    assert told.count("as it was written") == 2 and "One batch" in told and "SHA256SUMS" not in told
    with open(path + ".data-00000-of-00001", "r+b") as handle:
        handle.write(b"x")
    assert albert("verify", str(tmp_path / "run")) == 2
    assert "model.ckpt-9.data-00000-of-00001 is not what was written" in capsys.readouterr().err
