"""Training data in each layout, and a teacher behind a real (local) endpoint."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from transformers import AutoTokenizer

from tests.conftest import picture
from ziprerank_integrations import RemoteError
from ziprerank_integrations.cli import main
from ziprerank_integrations.engine import folder
from ziprerank_integrations.engine.tokens import TextEncoder
from ziprerank_integrations.training.distill import Teacher, distill
from ziprerank_integrations.training.records import RecordError, read
from ziprerank_integrations.training.samples import EpochSampler, Samples


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_passages(tmp_path: Path) -> None:
    row = {"query": "q", "passages": ["first", "second", "third"], "ranking": [2, 0]}
    example = read(write(tmp_path / "a.jsonl", row), 1)[0]
    assert example.order == (2, 0, 1)
    assert [page.image().size for page in example.pages] == [(280, 280)] * 3


def test_rankzephyrs_layout(tmp_path: Path) -> None:
    human = (
        "I will provide you with 3 passages, each indicated by a numerical identifier [].\n\n"
        "[1] the harbour\nwith two lines\n[2] the energy\n[1] a citation\n[7] another\n"
        "[3] the tax, Search Query: x\n\n"
        "Search Query: what about energy?.\n"
        "Rank the 3 passages above."
    )
    turns = [{"from": "system", "value": "s"}, {"from": "human", "value": human}]
    turns.append({"from": "gpt", "value": "[2] > [3] > [1]"})
    example = read(write(tmp_path / "a.jsonl", {"id": 1, "conversations": turns}), 1)[0]
    assert example.query == "what about energy?" and example.order == (1, 2, 0)
    texts = [page.origin.text for page in example.pages]  # type: ignore[attr-defined]
    energy = "the energy\n[1] a citation\n[7] another"
    assert texts == ["the harbour\nwith two lines", energy, "the tax, Search Query: x"]


def test_pages_by_path_pdf_and_parquet(tmp_path: Path, make_pdf: Callable[..., Path]) -> None:
    picture(1).save(tmp_path / "a.png")
    buffers = []
    for seed in (2, 3, 4):
        buffer = io.BytesIO()
        picture(seed).save(buffer, "PNG")
        buffers.append(buffer.getvalue())
    pq.write_table(pa.table({"image_binary": buffers}), tmp_path / "pages.parquet", row_group_size=2)
    pages = ["a.png", {"image": "a.png"}, {"pdf": str(make_pdf(3)), "page": 2}]
    pages.append({"parquet": "pages.parquet", "row": 2})
    row = {"query": "q", "pages": pages, "ranking": [3, 2], "answers": [2]}
    example = read(write(tmp_path / "a.jsonl", row), 2)[0]
    assert example.order == (3, 2, 0, 1) and example.answers == (2,)
    assert example.pages[3].image().tobytes() == picture(4).tobytes()
    assert example.pages[2].number == 2 and example.pages[2].image().width > 0


def test_a_table_of_passages(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"query": ["q"], "passages": [["x", "y"]], "ranking": [[1, 0]]}), tmp_path / "t.parquet"
    )
    assert read(tmp_path / "t.parquet", 1)[0].order == (1, 0)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"passages": ["a"], "ranking": [0]}, "'query' is missing"),
        ({"query": " ", "passages": ["a"], "ranking": [0]}, "blank"),
        ({"query": "q", "passages": [], "ranking": []}, "0 pages"),
        ({"query": "q", "passages": ["a"] * 21, "ranking": []}, "21 pages"),
        ({"query": "q", "passages": ["a"], "ranking": [1]}, "not there"),
        ({"query": "q", "passages": [" "], "ranking": [0]}, "blank"),
        (
            {"conversations": [{"from": "human", "value": "[1] a"}, {"from": "gpt", "value": "[1]"}]},
            "Search Query",
        ),
    ],
)
def test_lines_that_are_none(tmp_path: Path, row: dict[str, Any], complaint: str) -> None:
    good = {"query": "q", "passages": ["a"], "ranking": [0]}
    with pytest.raises(RecordError, match=rf"line 2.*{complaint}"):
        read(write(tmp_path / "a.jsonl", good, row), 1)
    with pytest.raises(RecordError, match="holds no examples"):
        read(write(tmp_path / "b.jsonl"), 1)


def test_samples_are_drawn_anew_in_each_epoch_and_the_same_again(tmp_path: Path, untied: Path) -> None:
    row = {"query": "q", "passages": [f"text {i}" for i in range(8)], "ranking": list(range(8))}
    tokenizer = AutoTokenizer.from_pretrained(untied)
    encoder = TextEncoder(tokenizer, tokenizer.convert_tokens_to_ids("<|image_pad|>"))
    examples = read(write(tmp_path / "a.jsonl", row, row), 1)
    samples = Samples(examples, encoder, folder.inspect(untied), keep_ratios=[1.0, 0.5], seed=3)
    sampler = EpochSampler(2, 3)
    sampler.set_epoch(5)
    assert sorted(sampler) == [10, 11]
    first, again, later = samples[10], samples[10], samples[12]
    assert first["ranks"].tolist() == again["ranks"].tolist() != later["ranks"].tolist()
    # The answer names the slots by wanted rank, between the brackets in which they are read.
    best = first["ranks"].argsort().tolist()
    text = tokenizer.decode(first["ids"][-first["answer"] :])
    assert text.replace(" ", "") == ">".join(f"[{'ABCDEFGH'[slot]}]" for slot in best) + "<|im_end|>"
    assert first["targets"][best[0]] == first["targets"].max()


class Oracle(BaseHTTPRequestHandler):
    """Ranks pages by their width, widest first; fails every first time, and for the query 'broken'."""

    seen: ClassVar[set[str]] = set()
    keys: ClassVar[list[str | None]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text, *images = body["messages"][0]["content"]
        query = text["text"].partition("Search Query: ")[2].partition("\n")[0]
        Oracle.keys.append(self.headers.get("Authorization"))
        widths = []
        for image in images:
            data = base64.b64decode(image["image_url"]["url"].partition(",")[2])
            widths.append(Image.open(io.BytesIO(data)).width)
        if query not in Oracle.seen:
            Oracle.seen.add(query)
            return self.reply(503, "busy")
        order = sorted(range(len(widths)), key=lambda slot: -widths[slot])
        answer = (
            "none of them" if query == "broken" else " > ".join(f"[{'ABCDEFGH'[slot]}]" for slot in order)
        )
        self.reply(200, json.dumps({"choices": [{"message": {"content": answer}}]}))

    def reply(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    Oracle.seen, Oracle.keys = set(), []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Oracle)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_distilling_and_going_on(
    tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for width in (50, 90, 70):
        picture(width, (width, 60)).save(tmp_path / f"{width}.png")
    pages = ["50.png", "90.png", "70.png"]
    rows = [{"query": query, "pages": pages, "answers": [0]} for query in ("one", "two", "broken", "three")]
    source, target = write(tmp_path / "asked.jsonl", *rows), tmp_path / "ranked.jsonl"
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setenv("TEACHER_KEY", "secret")
    command = ["train", "distill", str(source), str(target), "--url", endpoint, "--model", "oracle"]
    assert main([*command, "--api-key-env", "TEACHER_KEY"]) == 1
    assert "1 questions were left out" in capsys.readouterr().err
    assert set(Oracle.keys) == {"Bearer secret"}
    examples = read(target, 2)
    assert sorted(example.query for example in examples) == ["one", "three", "two"]
    assert all(example.order == (1, 2, 0) and example.answers == (0,) for example in examples)
    asked = len(Oracle.keys)
    with target.open("a") as file:
        file.write('{"query": "half a li')
    assert distill(source, target, Teacher(url=endpoint, model="oracle", retries=0)) == 1
    assert len(Oracle.keys) == asked + 1  # only the one that had failed


def test_a_teacher_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    picture(1).save(tmp_path / "a.png")
    from ziprerank_integrations import Page

    with pytest.raises(RemoteError, match="ConnectError"):
        Teacher(url="http://127.0.0.1:9", model="m").rank("q", [Page.from_image(tmp_path / "a.png")])
