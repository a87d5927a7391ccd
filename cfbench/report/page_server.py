"""Shows a live page to browsers on this machine, over HTTP.

The server listens on 127.0.0.1 only. It answers `GET` and `HEAD` of two addresses, `/` and `/news`, and reads no file
that a request names. A request whose Host header names another host is refused: a website that lets its own name point
to this machine (DNS rebinding) can read nothing.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import TYPE_CHECKING, Any

from cfbench.report.html import page_policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cfbench.report.live_page import LivePage

HOST = "127.0.0.1"
HOSTS = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
"""The Host headers of this machine. The port is any, because a tunnel may begin at another one."""
POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'"
"""The content security policy of an answer that is no page."""
SAFETY = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every answer: no other site may show it or read it, and no browser keeps it."""


class PageServer(ThreadingTCPServer):
    """Serves a live page. Each request has a thread, which ends with the process."""

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # on Windows another program could take the port then
    page: LivePage

    def __init__(self, port: int) -> None:
        """Begin to listen; port 0 means a free one. Raises `OSError`."""
        super().__init__((HOST, port), _Handler)

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self.server_address[1])

    def serve(self, page: LivePage) -> None:
        """Serve a page until Ctrl-C. Requests that came before wait for it."""
        self.page = page
        self.serve_forever()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that has gone away; any other fault is a bug, and gets a traceback."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request, then closes the connection."""

    server: PageServer
    default_request_version = "HTTP/1.0"  # before it, an answer had no headers
    timeout = 10
    """Seconds after which a connection that sends nothing is closed."""

    def do_GET(self) -> None:
        page = self.server.page
        if not self._is_for_this_machine():
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "the address must begin with http://localhost or 127.0.0.1")
        elif self.path == "/":
            self._answer(HTTPStatus.OK, "text/html", page.page(), page_policy(is_live=True))
        elif self.path == "/news":
            self._answer(HTTPStatus.OK, "application/json", json.dumps(asdict(page.news())).encode())
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "the page is at /")

    do_HEAD = do_GET  # noqa: N815 (the name that the base class looks for)

    def __getattr__(self, name: str) -> Any:
        """Refuse every other method: the base class looks for `do_POST` and so on."""
        if name.startswith("do_"):
            return lambda: self._refuse(
                HTTPStatus.METHOD_NOT_ALLOWED, "the page can only be read", {"Allow": "GET, HEAD"}
            )
        raise AttributeError(name)

    def _is_for_this_machine(self) -> bool:
        hosts = self.headers.get_all("Host", [])
        return len(hosts) == 1 and HOSTS.fullmatch(hosts[0]) is not None

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Refuse a request that is no HTTP. The message of the base class would repeat parts of it."""
        self._refuse(HTTPStatus(code), HTTPStatus(code).phrase)

    def _refuse(self, status: HTTPStatus, reason: str, headers: Mapping[str, str] = {}) -> None:
        self._answer(status, "text/plain", f"{status.value}: {reason}\n".encode(), headers=headers)

    def _answer(
        self, status: HTTPStatus, kind: str, body: bytes, policy: str = POLICY, headers: Mapping[str, str] = {}
    ) -> None:
        self.close_connection = True
        self.send_response(status)
        policies = {"Content-Security-Policy": f"{policy}; frame-ancestors 'none'"}
        facts = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body))}
        for name, value in {**facts, **policies, **SAFETY, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        """Name the program, without versions."""
        return "cfbench"

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 (the name of the base class)
        """Print nothing."""
