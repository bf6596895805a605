"""Downloads from a server on this machine: continued, started over, checked, refused."""

import hashlib
import http.server
import io
import json
import os
import re
import socket
import tarfile
import threading
import time

import numpy as np
import pytest
from test_import_export import albert, small_run

from albert.checkpoints.manager import latest_checkpoint, read_tensors
from albert.model.initial import initial_values
from albert.system.errors import UsageError
from albert.system.files import fetch as fetch_module
from albert.system.files.fetch import fetch

CONTENT = np.random.RandomState(0).bytes(300000)


class Site:
    """A server in a thread of this process; one file, whatever the path but /missing.

    Attributes:
      content: The file.
      headers: What names its version.
      ranges: Whether a part of it can be had: "yes", "no", or "careless" for a server that looks
        at no If-Range.
      cut_after: Bytes after which the server dies, once.
      asked: The Range of each request.
    """

    def __init__(self, content=CONTENT):
        self.content, self.headers, self.ranges = content, {"ETag": '"1"'}, "yes"
        self.cut_after, self.asked, self.chunked = None, [], False
        self.server = None
        self.start(0)

    def start(self, port):
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                site.answer(self)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self):
        return "http://127.0.0.1:{}/albert.tar.gz".format(self.server.server_port)

    def answer(self, request):
        request.close_connection = True
        if request.path == "/missing":
            request.send_error(404)
            return
        if request.path.startswith("/to:"):
            request.send_response(302)
            request.send_header("Location", request.path[len("/to:") :])
            request.end_headers()
            return
        asked = request.headers.get("Range")
        self.asked.append(asked)
        begin, end = 0, len(self.content)
        same = request.headers.get("If-Range") in self.headers.values()
        if asked and (self.ranges == "careless" or (self.ranges == "yes" and same)):
            begin = int(re.match(r"bytes=(\d+)-$", asked).group(1))
            if begin >= end:
                request.send_error(416)
                return
            request.send_response(206)
            span = "bytes {}-{}/{}".format(begin, end - 1, end)
            request.send_header("Content-Range", span)
        else:
            request.send_response(200)
        for name, value in self.headers.items():
            request.send_header(name, value)
        self.send(request, self.content[begin:])

    def send(self, request, body):
        if self.chunked:
            request.send_header("Transfer-Encoding", "chunked")
            request.end_headers()
            request.wfile.write(b"%x\r\n" % len(body))
        else:
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
        cut, self.cut_after = self.cut_after, None
        request.wfile.write(body[:cut])
        if self.chunked and cut is None:
            request.wfile.write(b"\r\n0\r\n\r\n")


@pytest.fixture
def site(monkeypatch):
    """A running server."""
    monkeypatch.setenv("no_proxy", "*")
    site = Site()
    yield site
    site.stop()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def cut_off(site, path, after=100000):
    """A first attempt whose server dies in the middle and comes back."""
    site.cut_after = after
    with pytest.raises(UsageError, match="was cut off after .* Run the same command again"):
        fetch(site.url, str(path))
    assert not path.exists()
    port = site.server.server_port
    site.stop()
    with pytest.raises(UsageError, match="Cannot reach .*refused"):
        fetch(site.url, str(path))
    site.start(port)
    site.asked.clear()


@pytest.mark.parametrize("headers", [{}, {"ETag": '"1"', "Accept-Ranges": "none"}])
def test_a_part_that_no_server_continues_is_not_kept(headers, site, tmp_path):
    site.headers, site.cut_after = headers, 100000
    with pytest.raises(UsageError, match="to start over: the server cannot continue"):
        fetch(site.url, str(tmp_path / "file"))
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize("chunked", [False, True])
def test_a_download_has_a_limit(chunked, site, tmp_path, monkeypatch):
    site.chunked = chunked
    monkeypatch.setattr(fetch_module, "_MOST", 200000)
    with pytest.raises(UsageError, match="has more than 200,000 bytes"):
        fetch(site.url, str(tmp_path / "file"))
    assert os.listdir(str(tmp_path)) == []


def test_a_download_that_trickles_is_given_up(site, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_module, "_TIMEOUT", 0.3)
    monkeypatch.setattr(site, "send", lambda request, body: trickle(request))
    with pytest.raises(UsageError, match="given up, slower than 1 kB a second, after"):
        fetch(site.url, str(tmp_path / "file"))


def trickle(request):
    """Answers ten bytes a second."""
    request.send_header("Content-Length", "1000")
    request.end_headers()
    for _ in range(20):
        request.wfile.write(b"x")
        time.sleep(0.1)


def test_a_file_is_fetched(site, tmp_path):
    path = tmp_path / "file"
    fetch(site.url, str(path), sha256(CONTENT))
    assert path.read_bytes() == CONTENT
    assert site.asked == [None]
    assert os.listdir(str(tmp_path)) == ["file"]


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"1"'},
        {"Last-Modified": "Sat, 21 Nov 2020 07:12:32 GMT"},
        {"ETag": 'W/"1"', "Last-Modified": "Sat, 21 Nov 2020 07:12:32 GMT"},
    ],
)
def test_a_download_continues_where_the_server_died(headers, site, tmp_path):
    site.headers = headers
    path = tmp_path / "file"
    cut_off(site, path)
    # A second break, after the continuation has begun.
    site.cut_after = 50000
    with pytest.raises(UsageError, match="was cut off after 150,000 of 300,000 bytes"):
        fetch(site.url, str(path))
    fetch(site.url, str(path), sha256(CONTENT))
    assert path.read_bytes() == CONTENT
    assert site.asked == ["bytes=100000-", "bytes=150000-"]
    assert os.listdir(str(tmp_path)) == ["file"]


@pytest.mark.parametrize("ranges", ["yes", "careless"])
@pytest.mark.parametrize("size", [300000, 100000, 5000])
def test_a_file_that_changed_is_fetched_anew(size, ranges, site, tmp_path):
    path = tmp_path / "file"
    cut_off(site, path)
    site.content, site.ranges = CONTENT[::-1][:size], ranges
    site.headers = {"ETag": '"2"'}
    fetch(site.url, str(path), sha256(site.content))
    assert path.read_bytes() == site.content
    assert site.asked[0] == "bytes=100000-" and site.asked[1:] in ([], [None])


def test_a_server_without_ranges_starts_over(site, tmp_path):
    path = tmp_path / "file"
    cut_off(site, path)
    site.ranges = "no"
    fetch(site.url, str(path), sha256(CONTENT))
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"'}])
def test_what_cannot_be_told_from_another_version_starts_over(headers, site, tmp_path):
    site.headers = headers
    path = tmp_path / "file"
    cut_off(site, path)
    site.content = CONTENT[::-1]
    fetch(site.url, str(path))
    assert path.read_bytes() == CONTENT[::-1]
    assert site.asked == [None]


def test_a_part_of_another_address_is_not_continued(site, tmp_path):
    path = tmp_path / "file"
    cut_off(site, path)
    fetch(site.url + "?other", str(path), sha256(CONTENT))
    assert site.asked == [None]


def test_a_part_that_is_complete_is_fetched_again(site, tmp_path):
    path = tmp_path / "file"
    cut_off(site, path)
    (tmp_path / "file.part").write_bytes(CONTENT)
    fetch(site.url, str(path), sha256(CONTENT))
    assert site.asked == ["bytes=300000-", None]


def test_a_length_that_is_not_told_is_read_to_its_end(site, tmp_path):
    site.chunked = True
    path = tmp_path / "file"
    site.cut_after = 1000
    with pytest.raises(UsageError, match="was cut off after .* of unknown bytes"):
        fetch(site.url, str(path))
    fetch(site.url, str(path), sha256(CONTENT))
    assert path.read_bytes() == CONTENT


def test_what_cannot_be_fetched_is_one_sentence(site, tmp_path, monkeypatch):
    path = str(tmp_path / "file")
    url = site.url
    with pytest.raises(UsageError, match=r"missing was answered with HTTP 404 .* Check the addr"):
        fetch(url.replace("albert.tar.gz", "missing"), path)
    with pytest.raises(UsageError, match="has SHA-256 {}, not the 0000".format(sha256(CONTENT))):
        fetch(url, path, "0" * 64)
    with pytest.raises(UsageError, match="must be 64 hexadecimal digits. Received 'abc'"):
        fetch(url, path, "abc")
    with pytest.raises(UsageError, match="Cannot reach http://127.0.0.1:port/"):
        fetch("http://127.0.0.1:port/", path)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        monkeypatch.setattr(fetch_module, "_TIMEOUT", 0.1)
        with pytest.raises(UsageError, match="Cannot reach .*timed? ?out"):
            fetch("http://127.0.0.1:{}/".format(silent.getsockname()[1]), path)
    assert os.listdir(str(tmp_path)) == []


def test_an_address_is_unpacked_and_imported(site, tmp_path, capsys):
    config = small_run(tmp_path / "run", "google")
    archive = tmp_path / "my.tar.gz"
    flags = ["--output_dir={}".format(tmp_path / "run"), "--archive={}".format(archive)]
    assert albert("pack", *flags) == 0
    site.content = archive.read_bytes()
    right = "--sha256=" + sha256(site.content)
    before = sorted(os.listdir(str(tmp_path)))
    weights = initial_values(config, 3)
    for command in ("unpack", "import"):
        out = tmp_path / command
        arguments = [command, site.url, "--output_dir={}".format(out)]
        assert albert(*(arguments + ["--sha256=" + "0" * 64])) == 2
        message = capsys.readouterr().err
        assert site.url in message and "The download was removed." in message
        assert sorted(os.listdir(str(tmp_path))) == before
        site.cut_after = 30000
        assert albert(*(arguments + [right])) == 2
        assert "Run the same command again to continue" in capsys.readouterr().err
        parts = [command + ".download.part", command + ".download.part.json"]
        assert sorted(set(os.listdir(str(tmp_path))) - set(before)) == parts
        assert albert(*(arguments + [right])) == 0
        assert site.asked[-1] == "bytes=30000-"
        before = sorted(before + [command])
        assert sorted(os.listdir(str(tmp_path))) == before
        found = read_tensors(latest_checkpoint(str(out)))
        for name, value in weights.items():
            assert found[name].tobytes() == value.tobytes(), name


def test_a_hostile_address_leaves_nothing(site, tmp_path, capsys):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../evil"))
    site.content = file.getvalue()
    for command in ("unpack", "import"):
        assert albert(command, site.url, "--output_dir={}".format(tmp_path / "a" / "out")) == 2
        message = capsys.readouterr().err
        assert "{} was not unpacked: '../evil' leads out".format(site.url) in message
        assert os.listdir(str(tmp_path)) == []


def test_messages_about_an_archive_name_the_archive(tmp_path, capsys):
    path = tmp_path / "albert.tar.gz"
    with tarfile.open(str(path), "w:gz") as tar:
        content = json.dumps({"vocab_size": 9}).encode()
        member = tarfile.TarInfo("albert/albert_config.json")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    assert albert("import", path, "--output_dir={}".format(tmp_path / "out")) == 2
    assert "{} is neither a checkpoint".format(path) in capsys.readouterr().err
    assert albert("verify", path) == 2
    assert "{} holds no checkpoint".format(path) in capsys.readouterr().err
    assert albert("import", tmp_path, "--sha256=" + "0" * 64, "--output_dir=x") == 2
    assert "--sha256 is for a .tar.gz" in capsys.readouterr().err
    wrong = ["--sha256=" + "0" * 64, "--output_dir={}".format(tmp_path / "out")]
    for command in ("unpack", "import"):
        assert albert(command, path, *wrong) == 2
        assert "{} has SHA-256 ".format(path) in capsys.readouterr().err
    assert os.listdir(str(tmp_path)) == ["albert.tar.gz"]


def test_an_answer_may_send_on_within_the_web_only(site, tmp_path):
    base = "http://127.0.0.1:{}".format(site.server.server_port)
    fetch(base + "/to:" + site.url, str(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == CONTENT
    for elsewhere in ("ftp://127.0.0.1/a", "file:///etc/passwd"):
        with pytest.raises(UsageError, match="Cannot reach|was answered with"):
            fetch(base + "/to:" + elsewhere, str(tmp_path / "b"))
    assert not (tmp_path / "b").exists()
