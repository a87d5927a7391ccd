"""The live page over real connections: it follows the results, and whatever else is asked gets nothing."""

import base64
import hashlib
import json
import re
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection

import pytest

from cfbench.data import card
from cfbench.report.board_report import BoardReport
from cfbench.report.live_page import News
from cfbench.report.page_server import PageServer

HOSTILE, SHOWN = "<b>\x1b]0;owned\x07\u202e", "<b>␛]0;owned␇\ufffd"


def exchange(server, request):
    """The status of the answer to some bytes, and the whole answer; the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        answer = b""
        with suppress(ConnectionError):  # the server does not read what is too long
            connection.sendall(request)
        with suppress(ConnectionError):
            while part := connection.recv(65536):
                answer += part
    return int(answer.split(b" ", 2)[1]), answer.decode(errors="replace")


def get(server, path, **headers):
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return response, response.read().decode()


def news(server):
    return json.loads(get(server, "/news")[1])


def runs_of(server, *models):
    """The runs in the news, once they are of these models: looks at the results take a tenth of the time at most."""
    while True:
        runs = news(server)["runs"]
        if [run[0] for run in runs] == [*models]:
            return runs
        time.sleep(0.02)


def stamp(page):
    return re.search('name="cfbench-stamp" content="([0-9a-f]+)"', page)[1]


def headline(page):
    return re.search("<h1>(.*?)</h1>", page)[1]


@dataclass(frozen=True)
class CountedReport(BoardReport):
    """A report that counts how often its page is written."""

    written: list[str] = field(default_factory=list)

    def write(self, *arguments, **options):
        self.written.append(options["stamp"])
        return super().write(*arguments, **options)


def test_the_page_is_written_again_when_a_run_has_ended_and_only_then(planted_runs, serve_page):
    planted_runs.add("good", 0.5)
    report = CountedReport(card.load("tiny"), "random90", planted_runs.results)
    server = serve_page(report)
    first, again = (get(server, "/")[1] for _ in range(2))
    is_same = first == again  # pytest would compare long texts for minutes
    assert is_same
    assert news(server) == {"stamp": stamp(first), "problem": "", "runs": []}
    assert len(report.written) == 1
    planted_runs.add("better", 0.4)
    while news(server)["stamp"] == stamp(first):
        time.sleep(0.05)  # writing pages may take one tenth of the time at most
    second = get(server, "/")[1]
    assert headline(first).startswith("good predicts best")
    assert headline(second).startswith("better predicts best")
    assert news(server)["stamp"] == stamp(second)
    assert report.written == [stamp(first), stamp(second)]


def test_only_the_style_and_the_scripts_of_the_page_may_run(planted_runs, serve_page):
    response, page = get(serve_page(), "/")
    scripts = re.findall("<script>(.*?)</script>", page, re.DOTALL)
    (style,) = re.findall("<style>(.*?)</style>", page, re.DOTALL)
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts]
    rules = dict(rule.strip().split(" ", 1) for rule in response.headers["Content-Security-Policy"].split(";"))
    assert rules.pop("style-src") == f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"
    assert rules == {
        "default-src": "'none'", "script-src": " ".join(hashes), "connect-src": "'self'", "base-uri": "'none'",
        "form-action": "'none'", "frame-ancestors": "'none'",
    }  # fmt: skip
    assert len(scripts) == 2
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Server"] == "cfbench"
    assert "Access-Control-Allow-Origin" not in response.headers


def test_runs_under_way_are_news_with_their_epochs(planted_runs, serve_page):
    server = serve_page()
    with planted_runs.under_way("slow", [1.5, 0.9, 0.95]) as folder, planted_runs.under_way(HOSTILE):
        (hostile, slow) = runs_of(server, SHOWN, "slow")
        assert slow[:5] == ["slow", "tiny, random90", "7", "3 of 9", "0.9500; best 0.9000 in epoch 2"]
        assert re.fullmatch(r"began .* ago, at most (6 m 00 s|5 m [0-5]\d s) left", slow[5])
        assert hostile[3:5] == ["–", "–"]
        (folder / "request.json").write_text("{}", "utf-8")
        runs_of(server, SHOWN)
    runs_of(server)


def test_results_that_cannot_be_read_leave_the_last_page_and_say_why(planted_runs, serve_page, terminal):
    server = serve_page()
    page = get(server, "/")[1]
    (terminal.folder / "cards" / "tiny.toml").unlink()
    planted_runs.add("good", 0.5)
    while not news(server)["problem"]:
        time.sleep(0.05)
        is_same = get(server, "/")[1] == page
        assert is_same
    assert news(server)["problem"].startswith("the newest results have no page: no data set 'tiny'")
    assert news(server)["stamp"] == stamp(page)


class StillPage:
    """A page that never changes."""

    def page(self):
        return b"secret"

    def news(self):
        return News("a stamp", "", ())


@pytest.fixture(scope="module")
def still_server():
    """The server of a still page."""
    with PageServer(0) as server:
        threading.Thread(target=server.serve, args=(StillPage(),), daemon=True).start()
        yield server
        server.shutdown()


def request(line="GET / HTTP/1.1", *headers, host="Host: 127.0.0.1:8377"):
    return "\r\n".join([line, *filter(None, [host]), *headers, "", ""]).encode()


def body(answer):
    return answer.partition("\r\n\r\n")[2]


@pytest.mark.parametrize("host", ["localhost:1", "LOCALHOST", "127.0.0.1", "[::1]:8377"])
def test_a_request_for_this_machine_is_answered_whatever_the_port_of_the_tunnel(still_server, host):
    status, answer = exchange(still_server, request(host=f"Host: {host}"))
    assert (status, body(answer)) == (200, "secret")


HOSTS = ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "localhost@evil.example", "localhost:",
         "127.0.0.1:8377, evil.example", "127.1", "[::1", "", "localhost:999999", "localhost\x0bx"]  # fmt: skip


def test_a_request_for_another_host_is_refused(still_server):
    lines = [request(host=f"Host: {host}") for host in HOSTS]
    lines += [request(host=None), request("GET / HTTP/1.1", "Host: localhost"), request("GET / HTTP/1.0", host=None)]
    lines += [line.replace(b"GET / ", b"GET /news ") for line in lines]
    for line in lines:
        status, answer = exchange(still_server, line)
        assert status == 421, line
        assert re.fullmatch("421: the address must begin with [a-z:/0-9 .]+\n", body(answer))


PATHS = ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/results/tiny/random90/good/good-0/record.json", "/?",
         "/./", "/news/", "/..", "/favicon.ico", "http://127.0.0.1/", "*", "record.json", "/\x00", "/n?"]  # fmt: skip


def test_every_other_address_holds_nothing(still_server):
    for path in PATHS:
        status, answer = exchange(still_server, request(f"GET {path} HTTP/1.1"))
        assert status in (400, 404), path
        assert re.fullmatch("40[04]: [A-Za-z /]+\n", body(answer))


METHODS = ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "__class__", "GET\x00"]


def test_every_other_method_is_refused_and_head_has_no_body(still_server):
    for method in METHODS:
        status, answer = exchange(still_server, request(f"{method} / HTTP/1.1", "Content-Length: 9") + b"seed=9999")
        assert status == 405, method
        assert "Allow: GET, HEAD" in answer
    status, answer = exchange(still_server, request("HEAD / HTTP/1.1"))
    assert (status, body(answer)) == (200, "")
    assert "Content-Length: 6\r\n" in answer


WRONG = {
    b"nonsense\r\n\r\n": 400,
    b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n": 400,  # a browser that begins with TLS
    request("GET / HTTP/9.9"): 505,
    request("GET /" + 70_000 * "x" + " HTTP/1.1"): 414,
    request("GET / HTTP/1.1", "X: " + 70_000 * "x"): 431,
    request("GET / HTTP/1.1", *(f"X{number}: x" for number in range(200))): 431,
}


def test_what_is_no_http_or_too_long_is_refused_and_repeated_nowhere(still_server):
    for sent, expected in WRONG.items():
        status, answer = exchange(still_server, sent)
        assert status == expected, sent[:40]
        assert re.fullmatch(rf"{expected}: [A-Za-z -]+\n", body(answer))
    assert exchange(still_server, request())[0] == 200


def test_a_browser_that_goes_away_leaves_no_traceback(still_server, capsys):
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", still_server.port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close by a reset
            connection.sendall(request())
    assert exchange(still_server, request())[0] == 200
    assert capsys.readouterr().err == ""
