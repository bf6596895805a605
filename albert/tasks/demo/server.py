"""A page and the answers it asks for, for browsers on this machine alone.

Other pages that are open in the browser cannot use it: requests must name this server as their host
(which a name that was made to lead here does not) and, if anything, as their origin.
"""

import html
import json
import os
import secrets
import string
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, List, NamedTuple, Tuple, Union

from absl import logging

from albert.system.errors import UsageError, quoted
from albert.tasks.inference.fine_tuned import TaskModel
from albert.tasks.inference.lines import parsed
from albert.tasks.inference.output import as_json
from albert.tasks.inference.pretrained import PretrainedModel

_HERE = "127.0.0.1"
_MOST_BYTES = 1 << 16  # of a question
_SECONDS = 20  # until a browser that says nothing is left
_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data:; style-src 'nonce-{0}'; "
    "script-src 'nonce-{0}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

Model = Union[PretrainedModel, TaskModel]


class DemoServer(ThreadingHTTPServer):
    """Listens once it is made; answers while `serve_forever` runs and `model` is set."""

    daemon_threads = True
    model: Model
    name = ""

    def __init__(self, port: int) -> None:
        """Listens at a port of this machine, 0 for a free one.

        Raises:
          UsageError: The port is taken or not allowed.
        """
        try:
            super().__init__((_HERE, port), _Handler)
        except OSError as error:
            raise UsageError(
                "Cannot listen at port {} ({}); --port=0 takes a free one.".format(
                    port, error.strerror
                )
            ) from error
        self._one_at_a_time = threading.Lock()

    @property
    def address(self) -> str:
        """What to open in the browser."""
        return "http://{}:{}/".format(_HERE, self.server_port)

    @property
    def hosts(self) -> List[str]:
        """What requests may call this server."""
        return ["{}:{}".format(name, self.server_port) for name in (_HERE, "localhost")]

    def answer(self, asked: Dict[str, Any]) -> Dict[str, Any]:
        """What the model says.

        Raises:
          UsageError: It cannot answer that.
        """
        model = self.model
        with self._one_at_a_time:
            if isinstance(model, PretrainedModel):
                return model.fill_mask([asked])[0]
            pair = (asked.get("text"), asked.get("text_b"))
            return model.predict([pair if model.task.pairs else asked])[0]

    def page(self, nonce: str) -> str:
        """The page; names from outside are text in it, never markup."""
        with open(os.path.join(os.path.dirname(__file__), "page.html"), encoding="utf-8") as file:
            template = string.Template(file.read())
        task = None if isinstance(self.model, PretrainedModel) else self.model.task
        return template.substitute(
            name=html.escape(self.name),
            kind=html.escape(task.kind if task else "fill-mask"),
            pairs="pairs" if task and task.pairs else "",
            nonce=nonce,
        )


class _Refused(NamedTuple):
    status: HTTPStatus
    error: str


class _Handler(BaseHTTPRequestHandler):
    """One browser's requests."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "albert", ""
    timeout = _SECONDS
    server: DemoServer

    def do_GET(self) -> None:  # noqa: N802
        """The page."""
        if self._foreign_host():
            self._refuse(_Refused(HTTPStatus.FORBIDDEN, "This is no name of this server."))
        elif self.path != "/":
            self._refuse(_Refused(HTTPStatus.NOT_FOUND, "There is nothing here."))
        else:
            nonce = secrets.token_urlsafe(16)
            self._send(HTTPStatus.OK, "text/html", self.server.page(nonce), _POLICY.format(nonce))

    def do_POST(self) -> None:  # noqa: N802
        """An answer."""
        asked = self._question()
        if isinstance(asked, _Refused):
            self._refuse(asked)
            return
        try:
            answer = as_json(self.server.answer(asked))
        except UsageError as error:
            self._send_error(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except Exception:
            logging.exception("No answer to %s", quoted(asked))
            self._send_error(HTTPStatus.INTERNAL_SERVER_ERROR, "The model failed; see its output.")
        else:
            self._send(HTTPStatus.OK, "application/json", answer)

    def _question(self) -> Union[Dict[str, Any], _Refused]:
        if self._foreign_host() or self._foreign_origin():
            return _Refused(HTTPStatus.FORBIDDEN, "Only this server's own page may ask.")
        if self.path != "/answer":
            return _Refused(HTTPStatus.NOT_FOUND, "There is nothing here.")
        if self.headers.get_content_type() != "application/json":
            return _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send application/json.")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            return _Refused(HTTPStatus.LENGTH_REQUIRED, "Send Content-Length.")
        if len(length) > 9 or int(length) > _MOST_BYTES:
            return _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The text is too long.")
        try:
            asked = parsed(self.rfile.read(int(length)))
        except UsageError as error:
            return _Refused(HTTPStatus.BAD_REQUEST, str(error))
        if not isinstance(asked, dict):
            return _Refused(HTTPStatus.BAD_REQUEST, 'Send an object, {"text": ...}.')
        return asked

    def _foreign_host(self) -> bool:
        return self.headers.get_all("Host", []) not in [[host] for host in self.server.hosts]

    def _foreign_origin(self) -> bool:
        origin = self.headers.get("Origin")
        ours = origin is None or origin in ["http://" + host for host in self.server.hosts]
        return not ours or self.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin"

    def _refuse(self, refused: _Refused) -> None:
        self.close_connection = True  # what was sent is not read
        self._send_error(*refused)

    def _send_error(self, status: HTTPStatus, error: str) -> None:
        self._send(status, "application/json", json.dumps({"error": error}))

    def _send(
        self, status: HTTPStatus, kind: str, text: str, policy: str = "default-src 'none'"
    ) -> None:
        body = text.encode("utf-8")
        facts: List[Tuple[str, str]] = [
            ("Content-Type", kind + "; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        ]
        self.send_response(status)
        for name, value in facts + [("Connection", "close")] * self.close_connection:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing of requests on the screen."""
        logging.debug(format, *arguments)
