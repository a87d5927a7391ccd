"""`cfbench serve`: where it listens, how it ends, and what it says if it cannot begin."""

import importlib.util
import re
import shlex
import signal
import socket
import urllib.request


def test_a_taken_port_is_one_line_whose_command_serves_until_ctrl_c(terminal, start_cfbench):
    terminal("run bias")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = terminal(f"serve --port {port}")
    assert (result.status, result.out) == (2, "")
    advice = (
        rf"error: cannot listen at port {port}: another program uses it; `cfbench (serve [^`]*)` takes a free one\n"
    )
    words = shlex.split(re.fullmatch(advice, result.err)[1])
    assert words == ["serve", "--dataset", "tiny", "--split", "random90", "--port", "0"]

    server = start_cfbench(*words)
    address = server.stdout.readline().strip()
    free = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/", address)[1])
    with urllib.request.urlopen(address, timeout=60) as page:
        assert "bias predicts best" in page.read().decode()
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=60)
    assert (server.returncode, out) == (0, "")
    assert err.splitlines()[0].startswith(f"from another machine: ssh -L {free}:127.0.0.1:{free} ")
    assert err.splitlines()[1:] == ["Ctrl-C ends it", "stopped"]


def test_what_keeps_report_from_writing_keeps_serve_from_listening(terminal, monkeypatch):
    assert "no plugin" in terminal("serve --port 0 --plugin nobody").err
    assert "'--port': Input should be less than or equal to 65535" in terminal("serve --port 70000").err
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jinja2" else real(name))
    result = terminal("serve --port 0")
    assert result.status == 2
    assert re.fullmatch(r"error: a report needs jinja2, .*pip install 'cfbench-recsys\[report\]'\n", result.err)
