"""``ziprerank show`` as a process, and what it refuses."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pymupdf
import pytest

from tests.cli.command import REPORT, Captured, failure, run
from tests.demo.helpers import Tab, events
from tests.helpers.serving import TIMEOUT, command
from ziprerank_integrations.cli.show import _free_port, _scorers
from ziprerank_integrations.options import CALL_OPTIONS, CascadeOptions, EngineOptions

COMMAND = [
    sys.executable,
    "-c",
    "import sys; from ziprerank_integrations.cli import main; sys.exit(main())",
    "show",
]


@contextmanager
def showing(*options: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command; yield the process and the page's address, which it prints."""
    arguments = [*COMMAND, "--no-open", *map(str, options)]
    with command(arguments, r"the page is at (http://\S+)/") as (process, url, _):
        yield process, url


@pytest.mark.slow
def test_a_question_about_the_files_of_the_command_line() -> None:
    with showing(REPORT, "--max-side", 256, "--port", 0, "--device", "cpu") as (process, url):
        with httpx.Client(base_url=url, timeout=TIMEOUT) as client:
            assert client.get("/").headers["content-type"].startswith("text/html")
            tab = Tab(client)
            assert [file["name"] for file in tab.opened["files"]] == ["annual_report.pdf"]
            assert [scorer["name"] for scorer in tab.opened["scorers"]] == [
                "listwise",
                "pointwise",
                "cascade",
            ]
            assert [scorer["keep_ratio"] for scorer in tab.opened["scorers"]] == [0.25, 1.0, 0.5]
            assert tab.opened["controls"] == {"keep_ratio": 0.5, "retriever_weight": 0.0}
            assert len(tab.ask("What was the revenue in 2023?", scorer="cascade")["results"]) == 11
            assert client.get("/", headers={"Host": "evil.example"}).status_code == 421
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)


@pytest.mark.slow
def test_ctrl_c_ends_long_work_soon_with_130(tmp_path: Path) -> None:
    path = tmp_path / "long.pdf"
    with pymupdf.open() as document:
        for number in range(900):
            document.new_page().insert_text((50, 50), f"page {number}")
        document.save(path)
    arguments = [*COMMAND, "--no-open", path, "--port", "0", "--device", "cpu"]
    process = subprocess.Popen(list(map(str, arguments)), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        lines = iter(process.stderr)
        assert next(lines) == "ziprerank: starting, which takes some seconds\n"
        url = next(match[1] for line in lines if (match := re.search(r"at (http://\S+)/", line)))
        with httpx.Client(base_url=url, timeout=TIMEOUT) as client:
            tab = Tab(client)
            body = {"scorer": "listwise", "keep_ratio": 0.5}
            with client.stream("POST", f"{tab.path}/ask", json=body) as response:
                received = events(response.iter_lines())
                encoding = next(data for _, data in received if data["stage"] == "encode" and data["done"])
                assert encoding["total"] == 900
                process.send_signal(signal.SIGINT)
                assert [name for name, _ in received][-1] == "cancelled"
        assert process.wait(20) == 130
        assert process.stderr.read() == "ziprerank: interrupted\n"
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.org", "::"])
def test_another_host_than_loopback_is_refused(capsys: Captured, host: str) -> None:
    assert run("show", "--host", host) == 2
    assert "is not a loopback address" in failure(capsys)


def test_a_wrong_file_is_reported_before_a_model_is_loaded(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"text")
    assert run("show", tmp_path / "a.pdf") == 1
    assert "is neither a PDF nor an image" in failure(capsys)
    assert run("show", tmp_path / "no.pdf") == 1
    assert "no.pdf" in failure(capsys)


def test_a_port_in_use_is_replaced_by_a_free_one() -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        assert _free_port("127.0.0.1", used.getsockname()[1]) == 0


def options(**changed: object) -> dict[str, object]:
    defaults = {**vars(CascadeOptions()), **vars(EngineOptions()), "max_side": None, "instruction": None}
    names = (
        "scorer",
        "embedder",
        "first_model",
        "first_scorer",
        "first_keep",
        "device",
        "max_side",
        "instruction",
    )
    assert set(changed) <= {*names, *CALL_OPTIONS, "quantize"}
    return {**{name: defaults[name] for name in names}, **changed}


def test_the_code_of_the_page_has_the_options_of_each_scorer() -> None:
    listwise, pointwise, cascade = _scorers(
        "tiny", options(first_model="tiny-pointwise", instruction="Find it.", max_side=256, first_keep=5)
    )
    # A listwise model has no instruction.
    assert listwise.options == {"model": "tiny", "max_side": 256}
    assert pointwise.options == {"model": "tiny-pointwise", "max_side": 256, "instruction": "Find it."}
    assert cascade.options == {
        "model": "tiny",
        "max_side": 256,
        "instruction": "Find it.",
        "first_model": "tiny-pointwise",
        "first_keep": 5,
    }
    assert (
        listwise.explain is not None and pointwise.explain is not None and cascade.explain is listwise.explain
    )


def test_one_model_is_one_scorer() -> None:
    (scorer,) = _scorers("tiny-pointwise", options())
    assert (scorer.name, scorer.options) == ("pointwise", {"model": "tiny-pointwise"})
    both = _scorers("tiny", options(first_model="tiny"))
    assert [scorer.name for scorer in both] == ["listwise", "cascade"]


def test_no_browser_is_opened_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    from ziprerank_integrations.cli.show import _has_browser

    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not _has_browser()
    monkeypatch.setenv("DISPLAY", ":0")
    assert _has_browser()
    assert os.environ["DISPLAY"] == ":0"
