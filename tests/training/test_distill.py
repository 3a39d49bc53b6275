"""A teacher behind a real (local) endpoint."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image

from tests.conftest import picture
from tests.helpers.full_disk import full_disk
from tests.training.data import write
from ziprerank_integrations import Page, RemoteError
from ziprerank_integrations.cli import main
from ziprerank_integrations.training.distill import Teacher, distill
from ziprerank_integrations.training.records import RecordError, read


class TeacherHandler(BaseHTTPRequestHandler):
    """Ranks pages by width, widest first. The first request of each query fails, and the query 'broken'."""

    seen: ClassVar[set[str]] = set()
    keys: ClassVar[list[str | None]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text, *images = body["messages"][0]["content"]
        query = text["text"].partition("Search Query: ")[2].partition("\n")[0]
        TeacherHandler.keys.append(self.headers.get("Authorization"))
        widths = []
        for image in images:
            data = base64.b64decode(image["image_url"]["url"].partition(",")[2])
            widths.append(Image.open(io.BytesIO(data)).width)
        if query not in TeacherHandler.seen:
            TeacherHandler.seen.add(query)
            return self.reply(503, "busy", retry_after=7)
        order = sorted(range(len(widths)), key=lambda slot: -widths[slot])
        ranking = " > ".join(f"[{'ABCDEFGH'[slot]}]" for slot in order)
        content = "none of them" if query == "broken" else ranking
        self.reply(200, json.dumps({"choices": [{"message": {"content": content}}]}))

    def reply(self, status: int, text: str, retry_after: int | None = None) -> None:
        self.send_response(status)
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    TeacherHandler.seen, TeacherHandler.keys = set(), []
    server = ThreadingHTTPServer(("127.0.0.1", 0), TeacherHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_a_stopped_run_continues_with_the_missing_lines(
    tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for width in (50, 90, 70):
        picture(width, (width, 60)).save(tmp_path / f"{width}.png")
    pages = ["50.png", "90.png", "70.png"]
    rows = [{"query": query, "pages": pages, "answers": [0]} for query in ("one", "two", "broken", "three")]
    source, target = write(tmp_path / "questions.jsonl", *rows), tmp_path / "ranked.jsonl"
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setenv("TEACHER_KEY", "secret")
    command = ["train", "distill", str(source), str(target), "--url", endpoint, "--model", "oracle"]
    assert main([*command, "--api-key-env", "TEACHER_KEY"]) == 1
    assert "1 questions were left out" in capsys.readouterr().err
    assert set(TeacherHandler.keys) == {"Bearer secret"}
    examples = read(target, 2)
    assert sorted(example.query for example in examples) == ["one", "three", "two"]
    assert all(example.order == (1, 2, 0) and example.answers == (0,) for example in examples)
    requests = len(TeacherHandler.keys)
    with target.open("a") as file:
        file.write('{"query": "half a li')
    assert distill(source, target, Teacher(url=endpoint, model="oracle", retries=0)) == 1
    assert len(TeacherHandler.keys) == requests + 1  # only the line that failed


def test_a_teacher_that_cannot_be_reached_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    picture(1).save(tmp_path / "a.png")

    with pytest.raises(RemoteError, match="ConnectError"):
        Teacher(url="http://127.0.0.1:9", model="m").rank("q", [Page.from_image(tmp_path / "a.png")])


def test_the_teachers_retry_after_is_honoured(
    tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays: list[float] = []
    monkeypatch.setattr("time.sleep", delays.append)
    picture(1).save(tmp_path / "a.png")
    pages = [Page.from_image(tmp_path / "a.png")]
    assert Teacher(url=endpoint, model="m").rank("q", pages) == [0]
    assert len(delays) == 1 and 7 <= delays[0] <= 7 * 1.25
    # A longer wait than the timeout is an error at once.
    with pytest.raises(RemoteError, match="status 503"):
        Teacher(url=endpoint, model="m", timeout=5).rank("another query", pages)
    assert len(delays) == 1


def test_a_target_that_is_another_file_is_kept(tmp_path: Path) -> None:
    source = write(tmp_path / "questions.jsonl", {"query": "q", "pages": ["a.png"]})
    target = tmp_path / "other.jsonl"
    target.write_text('{"no": "line"}\n')
    with pytest.raises(RecordError, match="not a result of this command"):
        distill(source, target, Teacher(url="http://127.0.0.1:9", model="m"))
    assert target.read_text() == '{"no": "line"}\n'


def test_a_full_disk_stops_the_requests_and_keeps_the_responses(
    tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    picture(1, (50, 60)).save(tmp_path / "a.png")
    questions = [{"query": f"number {number}", "pages": ["a.png"]} for number in range(40)]
    source, target = write(tmp_path / "questions.jsonl", *questions), tmp_path / "ranked.jsonl"
    teacher = Teacher(url=endpoint, model="oracle", retries=1)
    with full_disk(200), pytest.raises(OSError, match="too large"):
        distill(source, target, teacher, workers=1)
    assert len(TeacherHandler.keys) < 20
    complete = target.read_text().count("\n")
    assert complete >= 1
    requests = len(TeacherHandler.keys)
    assert distill(source, target, teacher) == 0
    assert len(read(target, 2)) == 40 and len(TeacherHandler.keys) > requests
