"""Processes in which PDFs are opened and rendered, with limits of time and memory.

The libraries that read PDFs are native code, hold the interpreter or a lock while they render, and can
be kept busy for hours by a small file. In a process of its own, such a file costs only that process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from PIL import Image

from ziprerank_integrations import fork
from ziprerank_integrations.errors import EngineError, MissingDependencyError, PageError
from ziprerank_integrations.pages.pdf import TEXT_BYTES, PdfFile

_LINE = 2**20
_LABEL_BYTES = 2**25
_START_SECONDS = 60.0


class PdfWorkers:
    """A pool of worker processes. Thread-safe; a process is started when it is first needed.

    Args:
        count: How many processes there may be.
        seconds: How long one page may take, or opening a file; a process that takes longer is killed.
        memory: Bytes of address space of each process (Linux only).
    """

    def __init__(self, count: int, *, seconds: float = 20.0, memory: int = 2 * 2**30) -> None:
        self.count = count
        self._settings = (seconds, memory)
        self._renderer: str | None = None
        self._reset()
        fork.on_fork(self._after_fork)

    def _reset(self) -> None:
        self._workers = [_Worker(*self._settings) for _ in range(self.count)]
        self._idle = list(self._workers)
        self._changed = threading.Condition()

    def _after_fork(self) -> None:
        for worker in self._workers:
            worker.forget()
        self._reset()

    @contextmanager
    def document(self, file: PdfFile, label: str) -> Iterator[WorkerDocument]:
        """Open a PDF in a process that no other thread uses meanwhile.

        Args:
            file: The PDF.
            label: The name in errors of what is read of it.

        Raises:
            PageError: If it is not a readable PDF, is encrypted, or takes more time or memory than allowed.
        """
        key = f"{file.content_id()} {file.access}"
        with self._worker(key) as worker:
            yield WorkerDocument(worker, file, key, label)

    def renderer(self) -> str:
        """Return the name of the library with which the processes render pages; see `pdf.renderer`.

        Raises:
            MissingDependencyError: If none is installed.
        """
        if self._renderer is None:
            with self._worker("") as worker:
                self._renderer = worker.renderer()
        if not self._renderer:
            raise MissingDependencyError(
                "reading PDF files needs pymupdf or pypdfium2: pip install 'ziprerank-integrations[pdf]'"
            )
        return self._renderer

    @contextmanager
    def _worker(self, key: str) -> Iterator[_Worker]:
        """Wait for an idle process, preferably one that has a file open, else one that runs."""
        with self._changed:
            self._changed.wait_for(lambda: self._idle)
            best = max(self._idle, key=lambda worker: (key in worker.open_files, worker.running))
            self._idle.remove(best)
        try:
            yield best
        finally:
            with self._changed:
                self._idle.append(best)
                self._changed.notify()

    def close(self) -> None:
        """End the processes; a page that is being rendered fails. One that is used later is started again."""
        for worker in self._workers:
            worker.kill()


class WorkerDocument:
    """A PDF that is open in a worker process; an `OpenPdf`.

    Args:
        worker: The process.
        file: The PDF.
        key: Its id among the files of the process.
        label: The name in errors of what is read of it.
    """

    def __init__(self, worker: _Worker, file: PdfFile, key: str, label: str) -> None:
        self._worker = worker
        self._key = key
        self._label = file.label
        if key not in worker.open_files:
            data = b"" if file.path is not None or file.data is None else file.data
            result, _ = self._call("open", data=data, path=file.path, password=file.password)
            for closed in result["closed"]:
                worker.open_files.pop(closed, None)
            worker.open_files[key] = int(result["page_count"])
        self.page_count = worker.open_files[key]
        self._label = label

    def labels(self) -> list[str]:
        """Return each page's label."""
        _, data = self._call("labels", most=_LABEL_BYTES)
        return [str(label) for label in json.loads(data.decode("utf-8", "surrogatepass"))]

    def size(self, index: int) -> tuple[float, float]:
        """Return the width and height in points, rotation applied."""
        (width, height), _ = self._call("size", index)
        return float(width), float(height)

    def text(self, index: int) -> str:
        """Return the text layer of a page."""
        _, data = self._call("text", index, most=TEXT_BYTES)
        return data.decode("utf-8", "ignore")

    def render(self, index: int, width: int, height: int) -> Image.Image:
        """Render a page scaled to exactly ``width`` x ``height`` pixels."""
        _, pixels = self._call("render", index, width, height, most=width * height * 3)
        return Image.frombytes("RGB", (width, height), pixels)

    def close(self) -> None:
        """Do nothing: the process closes the files that were used least recently."""

    def _call(
        self, name: str, *arguments: int, data: bytes = b"", most: int = 0, **fields: str | None
    ) -> tuple[Any, bytes]:
        request = {"key": self._key, "name": name, "arguments": arguments, "bytes": len(data), **fields}
        try:
            return self._worker.call(request, data, most)
        except _WorkerError as error:
            raise PageError(self._label, str(error)) from error


class _WorkerError(Exception):
    """A request that failed in a worker, or with it."""


class _Worker:
    """One worker process. Used by one thread at a time.

    Args:
        seconds: How long a request may take.
        memory: Bytes of address space.
    """

    def __init__(self, seconds: float, memory: int) -> None:
        self.open_files: dict[str, int] = {}
        """The files that the process has open, and their numbers of pages."""
        self._seconds = seconds
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._renderer = ""

    def renderer(self) -> str:
        """Return the name of the library that the process renders with; it is started if it does not run."""
        if not self.running:
            self._start()
        return self._renderer

    @property
    def running(self) -> bool:
        """Whether the process is running."""
        return self._process is not None and self._process.poll() is None

    def call(self, request: dict[str, Any], data: bytes, most: int) -> tuple[Any, bytes]:
        """Send a request and return its result, and the bytes after it.

        Args:
            request: The request.
            data: The bytes after it.
            most: The most bytes that the response may have after it.

        Raises:
            _WorkerError: If the request failed, took too long, or the process ended.
        """
        process = self._process if self._process is not None and self.running else self._start()
        assert process.stdin is not None and process.stdout is not None
        with self._limit(process, self._seconds) as overran:
            try:
                for part in (json.dumps(request).encode() + b"\n", data):
                    remaining = memoryview(part)
                    while remaining:
                        remaining = remaining[process.stdin.write(remaining) :]
                response = json.loads(process.stdout.readline(_LINE))
                size = response["bytes"]
                payload = bytearray()
                while len(payload) < size <= most and (chunk := process.stdout.read(size - len(payload))):
                    payload += chunk
                if len(payload) != size:
                    raise ValueError("the response is incomplete")
            except (OSError, ValueError) as error:
                if overran.is_set():
                    raise _WorkerError(f"takes longer than {self._seconds:g} s") from error
                message = "crashes the library that reads PDFs, or needs too much memory"
                raise _WorkerError(message) from error
        if "error" in response:
            raise _WorkerError(response["error"])
        return response["result"], bytes(payload)

    @contextmanager
    def _limit(self, process: subprocess.Popen[bytes], seconds: float) -> Iterator[threading.Event]:
        """Kill the process after some time, and end it after an error: a response may not have been read."""
        overran = threading.Event()

        def kill() -> None:
            overran.set()
            process.kill()

        watchdog = threading.Timer(seconds, kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield overran
        except BaseException:
            self.stop()
            raise
        finally:
            watchdog.cancel()

    def _start(self) -> subprocess.Popen[bytes]:
        self.stop()
        arguments = [str(self._memory), str(self._seconds)]
        try:
            process = self._process = subprocess.Popen(
                [sys.executable, "-m", "ziprerank_integrations.pages.pdf_worker", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,  # a buffer has a lock, and a forked child would send what is in it
                # Without the current folder among the folders of modules (from Python 3.11).
                env={**os.environ, "PYTHONSAFEPATH": "1"},
            )
        except OSError as error:
            raise EngineError(f"the process that reads PDFs cannot be started: {error}") from error
        self._end = weakref.finalize(self, _end, process)
        assert process.stdout is not None
        # Starting takes no part of a request's time.
        with self._limit(process, _START_SECONDS):
            ready, _, library = process.stdout.readline(_LINE).decode("ascii", "replace").partition(" ")
            if ready != "ready":
                raise EngineError("the process that reads PDFs cannot be started: it ended")
            self._renderer = library.strip()
        return process

    def kill(self) -> None:
        """Kill the process, from any thread."""
        process = self._process
        if process is not None:
            process.kill()

    def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        self.open_files.clear()
        if process is not None:
            _end(process)

    def forget(self) -> None:
        """Leave the process to the parent of this forked process, and close the inherited pipes to it."""
        process, self._process = self._process, None
        self.open_files.clear()
        if process is not None:
            self._end.detach()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # what was not sent yet
                pipe.close()
    process.wait()
