"""The page in the browser: what it answers, and whom."""

import http.client
import json
import re
import threading

import pytest
from conftest import SIZES
from malay import PIECES, model
from test_import_export import albert, small_run

from albert.model.config import ModelConfig
from albert.system.errors import UsageError
from albert.tasks.demo.server import DemoServer
from albert.tasks.folder import FineTuned
from albert.tasks.inference.fine_tuned import TaskModel
from albert.tasks.inference.load import load
from albert.tasks.inference.pretrained import PretrainedModel
from albert.tasks.model import initial_weights
from albert.tasks.task import Task
from albert.text.tokenization import Tokenization


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    run = tmp_path_factory.mktemp("demo") / "<b>run"
    small_run(run, "google")
    with DemoServer(0) as made:
        made.name = run.name
        made.model = load(run, use_gpu=False)
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
    thread.join()


def send(server, method, path="/answer", body=None, **headers):
    """Status, headers and body of an answer."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    text = reply.read().decode("utf-8")
    connection.close()
    return reply.status, dict(reply.getheaders()), text


def ask(server, asked, **headers):
    body = asked if isinstance(asked, bytes) else json.dumps(asked).encode("utf-8")
    status, _, text = send(server, "POST", body=body, Content_Type="application/json", **headers)
    return status, json.loads(text)


def test_masks_are_filled_and_mistakes_told(server):
    status, answer = ask(server, {"text": "saya [MASK] \U0001f600"})
    assert status == 200 and answer == server.model.fill_mask(["saya [MASK] \U0001f600"])[0]
    own = "http://localhost:{}".format(server.server_port)
    ours = {"Origin": own, "Sec_Fetch_Site": "same-origin", "Host": own[len("http://") :]}
    assert ask(server, {"text": "saya [MASK] \U0001f600"}, **ours) == (200, answer)
    for asked, wanted, told in (
        ({"text": "saya"}, 422, "No [MASK]"),
        ({"text": 3}, 422, "must be of type str"),
        (["saya"], 400, "Send an object"),
        (b'{"text": "\\ud800"}', 400, "JSON object"),
        (b"\xff", 400, "UTF-8"),
        (b"{" + b'"a":[' * 9000, 400, "JSON object"),
        ({"text": "a" * 70000}, 413, "too long"),
    ):
        status, answer = ask(server, asked)
        assert status == wanted and told in answer["error"], asked


def test_the_page_holds_names_as_text_and_runs_its_own_script_alone(server):
    status, headers, page = send(server, "GET", "/")
    assert status == 200 and "<b>" not in page and "&lt;b&gt;run" in page
    (nonce,) = set(re.findall('nonce="(.*?)"', page))
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'nonce-{}'".format(nonce) in policy
    assert send(server, "GET", "/")[2].replace(nonce, "") != page.replace(nonce, "")
    assert "Access-Control-Allow-Origin" not in headers
    for path in ("/page.html", "/../server.py", "/answer", "/favicon.ico"):
        assert send(server, "GET", path)[0] == 404
    assert send(server, "PUT", "/")[0] == 501


@pytest.mark.parametrize(
    "headers, wanted",
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1:1"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Length": "x"}, 411),
        ({"Content_Length": "9" * 5000}, 413),
    ],
)
def test_strangers_are_refused(server, headers, wanted):
    headers = dict({"Content_Type": "application/json"}, **headers)
    status, sent, text = send(server, "POST", body=b'{"text": "[MASK]"}', **headers)
    assert status == wanted and sent["Connection"] == "close" and json.loads(text)["error"]
    if "Host" in headers:
        assert send(server, "GET", "/", **headers)[0] == 403


def test_a_model_that_fails_does_not_end_the_page(server, monkeypatch):
    def failing(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(PretrainedModel, "fill_mask", failing)
    assert ask(server, {"text": "[MASK]"})[0] == 500
    assert send(server, "GET", "/")[0] == 200


def test_a_model_of_pairs_has_two_texts(server, monkeypatch):
    config = ModelConfig.from_dict(dict(SIZES, layout="google", vocab_size=PIECES))
    task = Task("multi-label", ("a", "b"), 32, False, True, pairs=True)
    weights = initial_weights(config, task, {}, 0)
    tuned = FineTuned("", config, task, weights, 1, Tokenization(model()))
    monkeypatch.setattr(server, "model", TaskModel(tuned, "/device:CPU:0", 8))
    assert 'data-pairs="pairs"' in send(server, "GET", "/")[2]
    status, answer = ask(server, {"text": "saya", "text_b": "awak"})
    assert status == 200 and answer == server.model.predict([("saya", "awak")])[0]
    assert ask(server, {"text": "saya"})[0] == 422


def test_a_port_that_is_taken_is_told(server, tmp_path, capsys):
    with pytest.raises(UsageError, match="--port=0"):
        DemoServer(server.server_port)
    assert albert("demo") == 2
    assert "Pass the folder" in capsys.readouterr().err
    assert albert("demo", tmp_path, "--port=0") == 2
    assert "No checkpoint in" in capsys.readouterr().err
