"""Count what one call passes through: files, functions, and calls from one file of the package into another.

``python scripts/call_path.py`` prints the counts of a Haystack ranking and of a ranking by client and server,
for the first call (with loading) and the second one. To measure another checkout, put it on PYTHONPATH.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pymupdf
import uvicorn

import ziprerank_integrations
from ziprerank_integrations import Page, RemoteReranker, ZipReranker
from ziprerank_integrations.server import create_app

ROOT = Path(ziprerank_integrations.__file__).parent.parent
FOLDERS = (str(ROOT / "ziprerank_integrations"), str(ROOT / "haystack_integrations"))
QUERY = "What was the revenue in 2023?"
PAGES = 3


class Profile:
    """Counts the calls of the package's functions in all threads while it is active."""

    def __init__(self) -> None:
        self.active = False
        self.clear()
        threading.setprofile(self._event)
        sys.setprofile(self._event)

    def clear(self) -> None:
        """Set the counts to zero."""
        self.files: set[str] = set()
        self.functions: set[Any] = set()
        self.moves = 0

    def measure(self, call: Callable[[], Any]) -> tuple[int, int, int]:
        """Run a call and return its files, functions and moves between files."""
        self.clear()
        self.active = True
        call()
        time.sleep(0.2)  # the server's threads end a moment after the response
        self.active = False
        return len(self.files), len(self.functions), self.moves

    def _event(self, frame: FrameType, event: str, _: Any) -> None:
        if not self.active or event != "call" or not frame.f_code.co_filename.startswith(FOLDERS):
            return
        file = frame.f_code.co_filename
        self.files.add(file)
        self.functions.add(frame.f_code)
        caller = frame.f_back
        while caller is not None and not caller.f_code.co_filename.startswith(FOLDERS):
            caller = caller.f_back
        self.moves += caller is not None and caller.f_code.co_filename != file


def haystack_call(pdf: str) -> Callable[[], Any]:
    """Return a Haystack ranking of the pages of a PDF."""
    from haystack import Document

    from ziprerank_integrations.haystack import ZipRerankRanker

    ranker = ZipRerankRanker(model="tiny")
    documents = [
        Document(content=f"page {number}", meta={"file_path": pdf, "page_number": number})
        for number in range(1, PAGES + 1)
    ]
    return lambda: ranker.run(query=QUERY, documents=documents)


def client_server_call(pdf: str) -> Callable[[], Any]:
    """Start a server in this process and return a ranking of the pages of a PDF by a client of it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = create_app(ZipReranker("tiny", cache_bytes=2**29))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    client = RemoteReranker(f"http://127.0.0.1:{port}")
    return lambda: client.rerank(QUERY, Page.from_pdf(pdf))


def main() -> None:
    """Print the counts."""
    profile = Profile()
    with tempfile.TemporaryDirectory() as folder:
        pdf = str(Path(folder) / "report.pdf")
        with pymupdf.open() as document:
            for number in range(1, PAGES + 1):
                document.new_page().insert_text((60, 90), f"Revenue of year {2020 + number}")
            document.save(pdf)
        sys.stdout.write(f"{'call':28}{'files':>8}{'functions':>12}{'moves':>8}\n")
        for name, make in (("Haystack", haystack_call), ("client and server", client_server_call)):
            call = make(pdf)
            for turn in ("first", "second"):
                files, functions, moves = profile.measure(call)
                sys.stdout.write(f"{f'{name}, {turn}':28}{files:8}{functions:12}{moves:8}\n")


if __name__ == "__main__":
    main()
