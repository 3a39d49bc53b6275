"""A process that opens and renders PDFs for another: ``python -m ziprerank_integrations.pages.pdf_worker``.

It reads requests from its standard input and writes responses to its standard output: a line of JSON each,
followed by as many bytes as it says. See `pdf_workers`, which starts it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import OrderedDict
from typing import Any, BinaryIO

from ziprerank_integrations.errors import MissingDependencyError, PageError
from ziprerank_integrations.pages import page_labels
from ziprerank_integrations.pages.pdf import KEEP_OPEN, TEXT_BYTES, OpenPdf, PdfFile, renderer

_LINE = 2**20


def main() -> None:
    """Serve requests until the standard input ends."""
    requests, responses = _channels()
    _limit_memory(int(sys.argv[1]))
    try:
        library = renderer()
    except MissingDependencyError:
        library = ""
    files: OrderedDict[str, tuple[PdfFile, OpenPdf]] = OrderedDict()
    responses.write(f"ready {library}\n".encode())
    responses.flush()
    while line := requests.readline(_LINE):
        _end_after(2 * float(sys.argv[2]))
        request = json.loads(line)
        data = requests.read(request["bytes"])
        payload = b""
        try:
            result, payload = _respond(files, request, data)
            response = {"result": result}
        except PageError as error:
            response = {"error": error.reason}
        except MissingDependencyError as error:
            response = {"error": str(error)}
        except MemoryError:
            response = {"error": "needs more memory than a PDF may take"}
        except Exception as error:  # the libraries raise many kinds of errors for broken files
            response = {"error": f"is broken: {error or type(error).__name__}"}
        response["bytes"] = len(payload)
        responses.write(json.dumps(response).encode() + b"\n" + payload)
        responses.flush()
        _end_after(0)


def _respond(
    files: OrderedDict[str, tuple[PdfFile, OpenPdf]], request: dict[str, Any], data: bytes
) -> tuple[Any, bytes]:
    key, name = request["key"], request["name"]
    if name == "open":
        path = request["path"]
        file = PdfFile("", path, None if path is not None else data, request["password"])
        files[key] = (file, file.open())
        closed = []
        while len(files) > KEEP_OPEN:
            oldest, (_, document) = files.popitem(last=False)
            document.close()
            closed.append(oldest)
        return {"page_count": files[key][1].page_count, "closed": closed}, b""
    file, document = files[key]
    files.move_to_end(key)
    if name == "labels":
        labels = page_labels.read("", file.path, file.data, file.password, document.page_count)
        return None, json.dumps(labels, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if name == "size":
        return document.size(*request["arguments"]), b""
    if name == "text":
        return None, document.text(*request["arguments"]).encode("utf-8", "replace")[:TEXT_BYTES]
    image = document.render(*request["arguments"])
    return image.size, image.tobytes()


def _channels() -> tuple[BinaryIO, BinaryIO]:
    """Return private copies of standard input and output, so that nothing a library prints is a response."""
    requests, responses = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "r+b") as nothing:
        for descriptor in (0, 1):
            os.dup2(nothing.fileno(), descriptor)
    return requests, responses


def _limit_memory(size: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    for limit, value in ((resource.RLIMIT_AS, size), (resource.RLIMIT_CORE, 0)):
        try:
            resource.setrlimit(limit, (value, value))
        except (ValueError, OSError):  # macOS has no limit of the address space
            pass


def _end_after(seconds: float) -> None:
    """Have the kernel end this process, should its parent die before it does so; 0 cancels that."""
    if hasattr(signal, "setitimer"):  # not on Windows
        signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    main()
