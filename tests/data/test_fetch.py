"""Downloads under every error of a network, from a server on this machine that misbehaves on demand."""

import errno
import hashlib
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections import namedtuple
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import filelock
import pytest

from cfbench.data import fetch, sources, transfer
from cfbench.data.card import Card
from cfbench.data.progress import SilentListener
from cfbench.data.transfer import Timeouts
from cfbench.errors import ChecksumError, FetchError, WriteError

CONTENT = bytes(range(256)) * 200  # 51,200 bytes
TABLE = {
    "member": "r.csv", "separator": ",", "columns": {"user": 0, "item": 1, "rating": 2}, "max_bytes": 1000,
}  # fmt: skip


class RecordingListener:
    """Records messages and progress."""

    def __init__(self):
        self.lines, self.steps = [], []

    def message(self, line):
        self.lines.append(line)

    def progress(self, name, position, total):
        self.steps.append((name, position, total))


def sha(content):
    return hashlib.sha256(content).hexdigest()


def web(url, content=CONTENT):
    return {"kind": "https", "url": url, "bytes": len(content), "checksum": f"sha256:{sha(content)}", "ratings": TABLE}


def package(content=CONTENT, name="ratings-1.0-py3-none-any.whl"):
    return {
        "kind": "package", "package": "ratings==1.0", "filename": name, "bytes": len(content),
        "checksum": f"sha256:{sha(content)}", "ratings": TABLE,
    }  # fmt: skip


def card_of(*sources):
    return Card.model_validate({
        "name": "tiny", "title": "Tiny", "homepage": "https://example.org/tiny", "citation": "", "licence": "",
        "terms": "", "scale": {"low": 1, "high": 5},
        "expected": {"users": 1, "items": 1, "ratings": 1, "fingerprint": ""},
        "sources": sources,
    })  # fmt: skip


def without_ranges(handler):
    """A server that cannot send a part of a file."""
    handler.answer(200, CONTENT)


def with_ranges(handler):
    """A server that can send the rest of a file."""
    start = int((handler.headers["Range"] or "bytes=0-")[6:-1])
    span = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
    handler.answer(206 if start else 200, CONTENT[start:], {"Content-Range": span} if start else {})


def stop_after(count, behaviour=with_ranges):
    """Announce the complete response and stop after `count` bytes."""

    def stop(handler):
        handler.max_bytes = count
        behaviour(handler)

    return stop


def status(code):
    return lambda handler: handler.answer(code, b"sorry")


class Server(http.server.ThreadingHTTPServer):
    """Answers each request with the next behaviour of `plan`; the last one repeats."""

    daemon_threads = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan, self.requests = [with_ranges], []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/tiny.zip"

    def handle_error(self, request, client_address):
        """Ignore clients that disconnect."""


class Handler(http.server.BaseHTTPRequestHandler):
    max_bytes = None

    def do_GET(self):
        self.server.requests.append((self.path, self.headers["Range"]))
        plan = self.server.plan
        (plan.pop(0) if len(plan) > 1 else plan[0])(self)

    def answer(self, code, content, headers=()):
        self.send_response(code)
        for name, value in {"Content-Length": len(content), **dict(headers)}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: self.max_bytes])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(transfer, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(transfer, "CHUNK_BYTES", 1000)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def has_only(folder, *names):
    """Whether the folder has only these files, besides the lock."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock") == sorted(names)


# --- the web ---


def test_a_file_is_downloaded_and_verified(server, tmp_path):
    listener = RecordingListener()
    path, source = fetch.fetch(card_of(web(server.url)), tmp_path / "new" / "folder", listener=listener)
    assert path.read_bytes() == CONTENT
    assert source.url == server.url
    assert listener.lines == []
    assert listener.steps[-1] == ("tiny.zip", len(CONTENT), len(CONTENT))
    assert has_only(path.parent, "tiny.zip")


def test_a_verified_file_is_used_without_the_network(server, tmp_path):
    (tmp_path / "tiny.zip").write_bytes(CONTENT)
    assert fetch.fetch(card_of(web(server.url)), tmp_path, listener=SilentListener())[0] == tmp_path / "tiny.zip"
    assert server.requests == []


@pytest.mark.parametrize("content", [CONTENT[:-1], b"x" * len(CONTENT)], ids=["shorter", "of the same size"])
def test_a_wrong_file_is_downloaded_again(server, tmp_path, content):
    (tmp_path / "tiny.zip").write_bytes(content)
    path, _ = fetch.fetch(card_of(web(server.url)), tmp_path, listener=SilentListener())
    assert path.read_bytes() == CONTENT


def test_a_verified_file_of_a_later_source_is_used_without_the_network(server, tmp_path):
    (tmp_path / "other.zip").write_bytes(b"other")
    other = web("http://127.0.0.1:1/other.zip", b"other")
    path, source = fetch.fetch(card_of(web(server.url), other), tmp_path, listener=SilentListener())
    assert (path.name, source.url, server.requests) == ("other.zip", other["url"], [])


def test_a_broken_transfer_is_resumed(server, tmp_path):
    server.plan = [stop_after(20_000), stop_after(10_000), with_ranges]
    listener = RecordingListener()
    path, _ = fetch.fetch(card_of(web(server.url)), tmp_path, listener=listener)
    assert path.read_bytes() == CONTENT
    assert [span for _, span in server.requests] == [None, "bytes=20000-", "bytes=30000-"]
    assert len(listener.lines) == 2
    assert all("trying again in" in line for line in listener.lines)


def test_without_ranges_a_broken_transfer_starts_again(server, tmp_path):
    server.plan = [stop_after(20_000, without_ranges), without_ranges]
    path, _ = fetch.fetch(card_of(web(server.url)), tmp_path, listener=SilentListener())
    assert path.read_bytes() == CONTENT
    assert server.requests[1][1] == "bytes=20000-"


@pytest.mark.parametrize(
    "refusal",
    [
        status(416),
        lambda handler: handler.answer(
            206, CONTENT[5:], {"Content-Range": f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}"}
        ),
        lambda handler: handler.answer(206, CONTENT[20_000:]),
    ],
    ids=["416", "another range", "no range"],
)
def test_a_wrong_range_starts_the_download_again(server, tmp_path, refusal):
    server.plan = [stop_after(20_000), refusal, with_ranges]
    path, _ = fetch.fetch(card_of(web(server.url)), tmp_path, listener=SilentListener())
    assert path.read_bytes() == CONTENT
    assert [span for _, span in server.requests] == [None, "bytes=20000-", None]


@pytest.mark.parametrize("code", [500, 503, 429])
def test_a_transient_error_is_tried_again(server, tmp_path, code):
    server.plan = [status(code), status(code), with_ranges]
    listener = RecordingListener()
    assert fetch.fetch(card_of(web(server.url)), tmp_path, listener=listener)[0].read_bytes() == CONTENT
    assert f"answered {code} " in listener.lines[0]


def test_pauses_between_tries_grow(server, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(transfer, "FIRST_PAUSE", 0.5)
    server.plan = [status(500)]
    with pytest.raises(FetchError, match=r"answered 500 Internal Server Error \(tried 4 times\)"):
        fetch.fetch(card_of(web(server.url)), tmp_path, listener=SilentListener())
    assert pauses == [0.5, 1.0, 2.0]
    assert len(server.requests) == 4


@pytest.mark.parametrize("code", [404, 403, 410])
def test_a_permanent_error_goes_to_the_next_source_at_once(server, tmp_path, code):
    server.plan = [status(code), with_ranges]
    listener = RecordingListener()
    second = server.url.replace("tiny", "second")
    path, source = fetch.fetch(card_of(web(server.url), web(second)), tmp_path, listener=listener)
    assert (path.name, source.url) == ("second.zip", second)
    assert [path for path, _ in server.requests] == ["/tiny.zip", "/second.zip"]
    assert f"answered {code}" in listener.lines[0]
    assert listener.lines[0].endswith(f"; trying {second}")


def test_a_silent_server_is_an_error_after_four_tries(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "LONG_TIMEOUTS", Timeouts(1, 0.05))
    wake = threading.Event()
    server.plan = [lambda _: wake.wait(5)]
    with pytest.raises(FetchError, match=r"did not answer within 0\.05 s \(tried 4 times\)"):
        fetch.fetch(card_of(web(server.url)), tmp_path, listener=SilentListener())
    wake.set()


def test_a_server_that_becomes_silent_midway_is_resumed(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "LONG_TIMEOUTS", Timeouts(1, 0.1))
    monkeypatch.setattr(transfer, "CHUNK_BYTES", 1000)
    wake = threading.Event()

    def stall(handler):
        stop_after(20_000)(handler)
        handler.wfile.flush()
        wake.wait(5)

    server.plan = [stall, with_ranges]
    listener = RecordingListener()
    assert fetch.fetch(card_of(web(server.url)), tmp_path, listener=listener)[0].read_bytes() == CONTENT
    wake.set()
    assert "did not answer within 0.1 s" in listener.lines[0]
    assert server.requests[1][1] == "bytes=20000-"


@pytest.fixture
def silent():
    """A host that accepts every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield SimpleNamespace(url=f"http://127.0.0.1:{listening.getsockname()[1]}/silent.zip", socket=listening)


def test_a_silent_host_is_tried_once_when_another_source_follows(server, silent, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "SHORT_TIMEOUTS", Timeouts(1, 0.05))
    monkeypatch.setattr(transfer, "FIRST_PAUSE", 60)
    listener = RecordingListener()
    path, source = fetch.fetch(card_of(web(silent.url), web(server.url)), tmp_path, listener=listener)
    assert (path.read_bytes(), source.url) == (CONTENT, server.url)
    host = silent.url.split("/")[2]
    assert listener.lines == [f"{host} did not answer within 0.05 s; trying {server.url}"]
    assert connections(silent.socket) == 1


def connections(listening):
    """The number of clients that have connected."""
    listening.setblocking(False)
    count = 0
    with suppress(BlockingIOError):
        while True:
            listening.accept()[0].close()
            count += 1
    return count


def test_the_short_timeouts_add_up_to_15_seconds_for_four_addresses():
    assert 4 * transfer.SHORT_TIMEOUTS.connect <= 15
    assert transfer.SHORT_TIMEOUTS.connect + transfer.SHORT_TIMEOUTS.read <= 15
    assert min(transfer.LONG_TIMEOUTS) >= 10


def test_a_silent_host_gets_the_long_timeouts_when_no_other_source_delivers(server, silent, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "SHORT_TIMEOUTS", Timeouts(1, 0.25))
    monkeypatch.setattr(transfer, "LONG_TIMEOUTS", Timeouts(1, 0.26))
    server.plan = [status(404)]
    listener = RecordingListener()
    with pytest.raises(FetchError) as caught:
        fetch.fetch(card_of(web(silent.url), web(server.url)), tmp_path, listener=listener)
    host = silent.url.split("/")[2]
    assert f"; {host} did not answer within 0.26 s (tried 4 times); try again later" in str(caught.value)
    assert listener.lines[1].endswith(f"answered 404 Not Found for {server.url}; trying {silent.url}")
    assert connections(silent.socket) == 5


@pytest.mark.parametrize("order", [["slow", "dead"], ["dead", "slow"]])
def test_a_slow_host_delivers_when_the_others_do_not(server, tmp_path, monkeypatch, order):
    monkeypatch.setattr(transfer, "SHORT_TIMEOUTS", Timeouts(1, 0.05))
    server.plan = [lambda handler: (time.sleep(0.3), with_ranges(handler))]
    addresses = {"slow": server.url, "dead": "http://127.0.0.1:1/dead.zip"}
    path, _ = fetch.fetch(card_of(*(web(addresses[name]) for name in order)), tmp_path, listener=SilentListener())
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(("silence", "gaps"), [(0.1, [0.3]), (0.5, [0.06] * 10)], ids=["a long gap", "many gaps"])
def test_a_slow_transfer_is_not_abandoned_for_another_source(server, tmp_path, monkeypatch, silence, gaps):
    monkeypatch.setattr(transfer, "SHORT_TIMEOUTS", Timeouts(1, silence))
    piece = len(CONTENT) // (len(gaps) + 1) + 1

    def dripping(handler):
        start = int((handler.headers["Range"] or "bytes=0-")[6:-1])
        span = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", len(CONTENT) - start)
        handler.send_header("Content-Range", span)
        handler.end_headers()
        for at, gap in zip(range(start, len(CONTENT), piece), [*gaps, 0], strict=False):
            handler.wfile.write(CONTENT[at : at + piece])
            handler.wfile.flush()
            time.sleep(gap)

    server.plan = [dripping]
    dead = web("http://127.0.0.1:1/other.zip")
    path, source = fetch.fetch(card_of(web(server.url), dead), tmp_path, listener=SilentListener())
    assert (path.read_bytes(), source.url) == (CONTENT, server.url)
    assert len(server.requests) == (2 if len(gaps) == 1 else 1)


def test_pip_has_a_short_timeout_only_when_another_source_follows(server, tmp_path, monkeypatch):
    commands = []

    def run(command, **_):
        commands.append(command)
        return subprocess.CompletedProcess(command, 1, b"", b"ERROR: no answer")

    monkeypatch.setattr(fetch.subprocess, "run", run)
    server.plan = [status(404)]
    with pytest.raises(FetchError, match=r"404 Not Found .*; the package index .* did not deliver \(pip: no answer\)"):
        fetch.fetch(card_of(package(), web(server.url)), tmp_path, listener=SilentListener())
    first, second = commands
    assert first[first.index("--timeout") + 1] == "12"
    assert "--timeout" not in second


def test_an_unknown_host_name_is_not_tried_again(tmp_path, monkeypatch, server):
    def no_such_name(host, *rest, **options):
        if host == "files.example.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *rest, **options)

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    monkeypatch.setattr(transfer, "FIRST_PAUSE", 60)
    listener = RecordingListener()
    dead = web("https://files.example.invalid/tiny.zip")
    assert fetch.fetch(card_of(dead, web(server.url)), tmp_path, listener=listener)[1].url == server.url
    assert listener.lines == [
        "files.example.invalid is unknown (no such name, or this machine is offline); trying " + server.url
    ]


def test_a_refused_connection_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "FIRST_PAUSE", 0.001)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # a bound socket that does not listen refuses connections
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/tiny.zip"
        with pytest.raises(FetchError, match=r"broke the connection \(Connection refused\) \(tried 4 times\)"):
            fetch.fetch(card_of(web(url)), tmp_path, listener=SilentListener())


def test_a_server_without_valid_tls_is_not_tried_again(server, tmp_path):
    listener, broken = RecordingListener(), web(server.url.replace("http://", "https://"))
    assert fetch.fetch(card_of(broken, web(server.url)), tmp_path, listener=listener)[1].url == server.url
    assert len(listener.lines) == 1
    assert " offers no secure connection (" in listener.lines[0]


def test_a_redirect_is_followed(server, tmp_path):
    server.plan = [lambda handler: handler.answer(302, b"", {"Location": "/moved.zip"}), with_ranges]
    path, _ = fetch.fetch(card_of(web(server.url)), tmp_path, listener=SilentListener())
    assert (path.name, path.read_bytes() == CONTENT) == ("tiny.zip", True)


def test_a_circle_of_redirects_is_an_error(server, tmp_path):
    server.plan = [lambda handler: handler.answer(302, b"", {"Location": "/tiny.zip"})]
    with pytest.raises(FetchError, match=r"the request to 127\.0\.0\.1:\d+ failed \(Exceeded 30 redirects"):
        fetch.fetch(card_of(web(server.url)), tmp_path, listener=SilentListener())


def test_an_address_without_https_is_refused(tmp_path):
    with pytest.raises(FetchError, match=r"http://example\.org/tiny\.zip is not an https address"):
        fetch.fetch(card_of(web("http://example.org/tiny.zip")), tmp_path, listener=SilentListener())


def test_a_web_page_instead_of_the_file_is_refused_by_its_length(server, tmp_path):
    server.plan = [status(200)]
    with pytest.raises(FetchError, match=r"sends 5 bytes for tiny\.zip, expected 51200"):
        fetch.fetch(card_of(web(server.url)), tmp_path, listener=SilentListener())


@pytest.mark.parametrize("spoil", [lambda c: b"X" + c[1:], lambda c: c + b"X"], ids=["a byte", "a longer file"])
def test_a_wrong_file_is_deleted_and_reported(server, tmp_path, spoil):
    server.plan = [lambda handler: handler.answer(200, spoil(CONTENT), {"Content-Length": None})]
    with pytest.raises(ChecksumError, match=r"tiny could not be downloaded: .*expected.*--from-file PATH"):
        fetch.fetch(card_of(web(server.url)), tmp_path, listener=SilentListener())
    assert has_only(tmp_path)


def test_after_a_wrong_file_the_next_source_is_tried(server, tmp_path):
    server.plan = [lambda handler: handler.answer(200, b"X" + CONTENT[1:]), with_ranges]
    listener, second = RecordingListener(), server.url.replace("tiny", "second")
    path, _ = fetch.fetch(card_of(web(server.url), web(second)), tmp_path, listener=listener)
    assert path.name == "second.zip"
    assert f"sent a tiny.zip with sha256:{sha(b'X' + CONTENT[1:])}, expected sha256:{sha(CONTENT)}" in listener.lines[0]
    assert has_only(tmp_path, "second.zip")


def test_a_body_that_ends_early_is_never_accepted(server, tmp_path):
    server.plan = [stop_after(100, lambda handler: handler.answer(200, CONTENT, {"Content-Length": None}))]
    with pytest.raises(FetchError, match=r"stopped after 100 B of 51\.2 kB \(tried 4 times\)"):
        fetch.fetch(card_of(web(server.url)), tmp_path, listener=SilentListener())
    assert not (tmp_path / "tiny.zip").exists()


def test_an_interrupted_download_is_resumed_by_the_next_call(server, tmp_path):
    class Interrupting(RecordingListener):
        def progress(self, name, position, total):
            if position >= 10_000:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch.fetch(card_of(web(server.url)), tmp_path, listener=Interrupting())
    assert (tmp_path / "tiny.zip.part").stat().st_size == 10_000
    assert not (tmp_path / "tiny.zip").exists()
    fetch.fetch(card_of(web(server.url)), tmp_path, listener=SilentListener())
    assert server.requests[1][1] == "bytes=10000-"
    assert has_only(tmp_path, "tiny.zip")


@pytest.mark.parametrize(
    "part", [b"Z" * 100, b"Z" * len(CONTENT), b"Z" * (len(CONTENT) + 1)], ids=["short", "full", "long"]
)
def test_a_wrong_part_of_an_earlier_download_is_discarded(server, tmp_path, part):
    (tmp_path / "tiny.zip.part").write_bytes(part)
    path, _ = fetch.fetch(card_of(web(server.url)), tmp_path, listener=SilentListener())
    assert path.read_bytes() == CONTENT
    assert has_only(tmp_path, "tiny.zip")


def test_has_pip_does_not_change_setuptools(tmp_path):
    pytest.importorskip("setuptools")
    code = "from cfbench.data.fetch import has_pip; assert has_pip(); import setuptools"  # torch.compile imports it
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_when_no_source_delivers_the_message_has_the_error_of_each(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "has_pip", lambda: False)
    server.plan = [status(404)]
    with pytest.raises(FetchError) as caught:
        fetch.fetch(card_of(web(server.url), package()), tmp_path, listener=SilentListener())
    message = str(caught.value)
    assert "\n" not in message
    assert f"answered 404 Not Found for {server.url}; the package index (ratings==1.0) needs pip" in message
    assert "run `cfbench download tiny --from-file PATH`" in message


# --- the package index ---


def wheel(folder):
    """A wheel that pip accepts."""
    path = folder / "ratings-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("ratings/r.csv", "1,2,3\n")
        file.writestr("ratings-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: ratings\nVersion: 1.0\n")
        file.writestr("ratings-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("ratings-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index that is a folder."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_pip_downloads_a_wheel(index, tmp_path):
    content, listener = wheel(index).read_bytes(), RecordingListener()
    path, source = fetch.fetch(card_of(package(content)), tmp_path / "downloads", listener=listener)
    assert path.read_bytes() == content
    assert source.kind == "package"
    assert listener.steps == [(path.name, 0, len(content)), (path.name, len(content), len(content))]
    assert has_only(path.parent, path.name)


def test_the_error_of_pip_is_in_the_message(index, tmp_path):
    with pytest.raises(FetchError, match=r"did not deliver \(pip: No matching distribution found for ratings==1\.0\)"):
        fetch.fetch(card_of(package()), tmp_path / "downloads", listener=SilentListener())
    assert has_only(tmp_path / "downloads")


def replace_pip(monkeypatch, download):
    def run(command, **_):
        download(Path(command[command.index("--dest") + 1]))
        return subprocess.CompletedProcess(command, 0, b"", b"")

    monkeypatch.setattr(fetch.subprocess, "run", run)


def test_a_wheel_with_a_wrong_checksum_is_refused(tmp_path, monkeypatch):
    replace_pip(monkeypatch, lambda folder: (folder / "ratings-1.0-py3-none-any.whl").write_bytes(b"bad"))
    with pytest.raises(ChecksumError, match=r"the package index \(ratings==1\.0\) sent a ratings-1\.0"):
        fetch.fetch(card_of(package()), tmp_path, listener=SilentListener())
    assert has_only(tmp_path)


def test_a_wheel_with_another_name_is_refused(tmp_path, monkeypatch):
    replace_pip(monkeypatch, lambda folder: (folder / "ratings-1.0-cp311-linux.whl").write_bytes(b"bad"))
    with pytest.raises(FetchError, match=r"delivered no ratings-1\.0-py3-none-any\.whl"):
        fetch.fetch(card_of(package()), tmp_path, listener=SilentListener())


def test_a_pip_that_hangs_is_stopped(tmp_path, monkeypatch):
    def hang(folder):
        raise subprocess.TimeoutExpired("pip", 900)

    replace_pip(monkeypatch, hang)
    with pytest.raises(FetchError, match="did not deliver within 900 s"):
        fetch.fetch(card_of(package()), tmp_path, listener=SilentListener())
    assert has_only(tmp_path)


# --- a person's own file ---


def test_a_persons_file_is_identified_by_its_checksum(tmp_path):
    own_file = tmp_path / "renamed.bin"
    own_file.write_bytes(b"wheel")
    card = card_of(web("https://example.org/tiny.zip"), package(b"wheel"))
    path, source = fetch.fetch(card, tmp_path / "downloads", listener=SilentListener(), from_file=own_file)
    assert (path, source.kind) == (own_file, "package")
    assert not (tmp_path / "downloads").exists()


def test_a_persons_wrong_file_is_refused_with_both_checksums(tmp_path):
    own_file = tmp_path / "mine.zip"
    own_file.write_bytes(b"wrong")
    card = card_of(web("https://example.org/tiny.zip"), package(b"wheel"))
    with pytest.raises(ChecksumError) as caught:
        fetch.fetch(card, tmp_path, listener=SilentListener(), from_file=own_file)
    assert str(caught.value) == (
        f"{own_file} has sha256:{sha(b'wrong')}, expected sha256:{sha(CONTENT)} (tiny.zip) or sha256:{sha(b'wheel')} "
        "(ratings-1.0-py3-none-any.whl); download it again from https://example.org/tiny, and do not unpack it"
    )


@pytest.mark.parametrize(("name", "reason"), [("absent.zip", "No such file"), ("", "Is a directory")])
def test_a_persons_file_that_cannot_be_read_is_refused(tmp_path, name, reason):
    with pytest.raises(FetchError, match=f"cannot read .*: {reason}"):
        fetch.fetch(card_of(package()), tmp_path, listener=SilentListener(), from_file=tmp_path / name)


# --- the disk ---


def test_a_full_disk_is_noticed_before_the_download(server, tmp_path, monkeypatch):
    Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 (as shutil has it)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10, 9, 1000))
    with pytest.raises(WriteError, match=r"not enough disk space in .*: 20\.1 MB needed, 1\.0 kB free.*CFBENCH_DATA"):
        fetch.fetch(card_of(web(server.url)), tmp_path, listener=SilentListener())
    assert server.requests == []


def test_a_disk_that_fills_up_midway_stops_the_download_and_keeps_the_part(server, tmp_path):
    class FullDisk(RecordingListener):
        def progress(self, name, position, total):
            raise OSError(28, "No space left on device")

    with pytest.raises(WriteError, match=r"tiny\.zip\.part: no space left on the disk.*CFBENCH_DATA"):
        fetch.fetch(card_of(web(server.url)), tmp_path, listener=FullDisk())
    assert (tmp_path / "tiny.zip.part").exists()


def test_a_folder_that_cannot_be_created_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match=r"cannot write .*file/downloads: .*CFBENCH_DATA"):
        fetch.fetch(card_of(package()), tmp_path / "file" / "downloads", listener=SilentListener())


# --- two processes ---

SCRIPT = """
import json, sys
from pathlib import Path
from cfbench.data.card import Card
from cfbench.data.fetch import fetch

class PrintingListener:
    def message(self, line): print(line)
    def progress(self, *_): pass

fetch(Card.model_validate(json.loads(sys.argv[1])), Path(sys.argv[2]), listener=PrintingListener())
"""


@pytest.mark.slow
def test_one_of_two_processes_downloads_and_the_other_waits(server, tmp_path):
    def slow(handler):
        time.sleep(1.5)
        with_ranges(handler)

    server.plan = [slow]
    card = card_of(web(server.url)).model_dump_json()
    command = [sys.executable, "-c", SCRIPT, card, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = sorted(process.communicate(timeout=30)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert outputs == ["", "another cfbench is downloading tiny; waiting for it\n"]
    assert len(server.requests) == 1
    assert json.loads(card)["sources"][0]["checksum"] == f"sha256:{sha((tmp_path / 'tiny.zip').read_bytes())}"


# --- sources of other kinds ---


def without_checksum(url):
    return {"kind": "https", "url": url, "ratings": TABLE}


def test_without_a_published_checksum_later_downloads_must_match_the_first(server, tmp_path):
    card, listener = card_of(without_checksum(server.url)), RecordingListener()
    path, _ = fetch.fetch(card, tmp_path, listener=listener)
    assert path.read_bytes() == CONTENT
    assert any(f"later downloads must match this one, sha256:{sha(CONTENT)}" in line for line in listener.lines)
    requests = len(server.requests)
    assert fetch.fetch(card, tmp_path, listener=listener)[0] == path
    assert len(server.requests) == requests
    path.unlink()
    server.plan = [lambda handler: handler.answer(200, b"other")]
    with pytest.raises(ChecksumError, match=r"expected sha256:.*, the checksum of the first download"):
        fetch.fetch(card, tmp_path, listener=listener)
    assert not path.exists()


@pytest.mark.parametrize("after", [with_ranges, without_ranges])
def test_a_file_of_unknown_size_is_resumed_or_downloaded_again(server, tmp_path, after):
    server.plan = [stop_after(3000), after]
    path, _ = fetch.fetch(card_of(without_checksum(server.url)), tmp_path, listener=RecordingListener())
    assert path.read_bytes() == CONTENT
    assert server.requests[1][1] == "bytes=3000-"


def parts_of(server, *contents):
    parts = [
        {"url": server.url.replace("tiny", f"part{k}"), "checksum": f"sha256:{sha(content)}"}
        for k, content in enumerate(contents)
    ]
    return card_of({"kind": "parts", "folder": "tiny", "parts": parts, "ratings": TABLE})


def test_several_files_are_in_one_folder_and_only_missing_ones_are_downloaded(server, tmp_path):
    server.plan = [lambda handler: handler.answer(200, handler.path.encode())]
    card = parts_of(server, b"/part0.zip", b"/part1.zip")
    folder, source = fetch.fetch(card, tmp_path, listener=RecordingListener())
    assert folder == tmp_path / "tiny"
    assert {file.name for file in folder.iterdir()} == {"part0.zip", "part1.zip"}
    (folder / "part1.zip").write_bytes(b"damaged")
    server.requests.clear()
    assert fetch.fetch(card, tmp_path, listener=RecordingListener()) == (folder, source)
    assert [path for path, _ in server.requests] == ["/part1.zip"]
    assert fetch.fetch(card, tmp_path / "elsewhere", listener=RecordingListener(), from_file=folder) == (folder, source)


LOCAL = {"kind": "local", "what": "the folder of a friend", "holds": ["mv_*.txt"], "ratings": TABLE}


def local_files(folder):
    """A folder, an archive and a file that match LOCAL."""
    (folder / "folder" / "deep").mkdir(parents=True)
    (folder / "folder" / "deep" / "mv_1.txt").write_text("x")
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("deep/mv_1.txt", "x")
    (folder / "mv_7.txt").write_text("x")


@pytest.mark.parametrize("name", ["folder", "a.zip", "mv_7.txt"])
def test_a_local_source_is_identified_by_the_names_of_its_files(tmp_path, name):
    local_files(tmp_path)
    card = card_of(LOCAL)
    source = fetch.fetch(card, tmp_path, listener=RecordingListener(), from_file=tmp_path / name)
    assert source == (tmp_path / name, card.sources[0])


def test_a_file_that_is_no_source_of_the_card_is_refused_with_its_checksum(tmp_path):
    (tmp_path / "odd").write_bytes(b"odd")
    with pytest.raises(ChecksumError) as caught:
        fetch.fetch(card_of(LOCAL, package()), tmp_path, listener=RecordingListener(), from_file=tmp_path / "odd")
    assert str(caught.value) == (
        f"{tmp_path / 'odd'} is no source of tiny, its checksum is sha256:{sha(b'odd')}; expected: the folder of a "
        f"friend; ratings-1.0-py3-none-any.whl (sha256:{sha(CONTENT)}); see https://example.org/tiny"
    )


def test_a_folder_that_is_no_source_of_the_card_is_refused(tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(ChecksumError, match="other is no source of tiny; expected: the folder of a friend; see https"):
        fetch.fetch(card_of(LOCAL), tmp_path, listener=RecordingListener(), from_file=tmp_path / "other")


def test_a_card_with_only_local_sources_needs_a_path(tmp_path):
    with pytest.raises(FetchError) as caught:
        fetch.fetch(card_of(LOCAL), tmp_path, listener=RecordingListener())
    assert str(caught.value) == (
        "tiny cannot be downloaded, it is read from the folder of a friend; "
        "give its path: `cfbench download tiny --from-file PATH`"
    )


# --- the most bytes of a download ---


def endless(handler):
    """A server that never stops sending and does not say how much it sends."""
    handler.send_response(200)
    handler.end_headers()
    with suppress(ConnectionError):
        while True:
            handler.wfile.write(bytes(1 << 16))


def announces_too_much(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000001")
    handler.end_headers()


@pytest.mark.parametrize("answer", [endless, announces_too_much])
def test_a_download_of_unknown_size_has_a_ceiling_and_says_so(server, tmp_path, monkeypatch, answer):
    monkeypatch.setattr(sources, "DOWNLOAD_CEILING", 1_000_000)
    server.plan, listener = [answer], RecordingListener()
    with pytest.raises(FetchError, match=r"sends more than 1\.0 MB for .*; add `bytes`, its size, to the card"):
        fetch.fetch(card_of(without_checksum(server.url)), tmp_path, listener=listener)
    name = server.url.rsplit("/", 1)[-1]
    assert f"the card does not give the size of {name}; its download stops at 1.0 MB" in listener.lines
    assert has_only(tmp_path)


def test_pip_writes_no_file_that_is_larger_than_the_card_says(index, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "SPARE_BYTES", 10)
    source = package(wheel(index).read_bytes())
    with zipfile.ZipFile(index / source["filename"], "a") as file:
        file.writestr("ratings/more.csv", bytes(100_000))
    with pytest.raises(FetchError, match=r"did not deliver \(pip: .*File too large"):
        fetch.fetch(card_of(source), tmp_path / "downloads", listener=SilentListener())
    assert has_only(tmp_path / "downloads")


def test_a_checksum_of_the_first_download_that_is_no_text_refuses_the_file(server, tmp_path):
    name = server.url.rsplit("/", 1)[-1]
    (tmp_path / f"{name}.checksum").write_bytes(b"sha256:\xff\xfe")
    with pytest.raises(ChecksumError, match="the checksum of the first download"):
        fetch.fetch(card_of(without_checksum(server.url)), tmp_path, listener=SilentListener())


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_without_file_locks_a_download_says_so_and_goes_on(server, tmp_path, monkeypatch, number):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelock.FileLock, "acquire", fail)
    listener = RecordingListener()
    path, _ = fetch.fetch(card_of(web(server.url)), tmp_path, listener=listener)
    assert path.read_bytes() == CONTENT
    assert f"{tmp_path} has no file locks; use one cfbench at a time there" in listener.lines
