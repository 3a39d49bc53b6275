"""``ziprerank serve`` in a process of its own, for which one loopback address is public."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.helpers.serving import until
from tests.soak.target import Target
from tests.soak.web import ADDRESS

_KEY = "the key of the soak test"


@contextmanager
def serving(
    model: Path, log: Path, *options: str, head_timeout: float, timeout: float
) -> Iterator[tuple[Target, subprocess.Popen[bytes]]]:
    """Run a server until the block ends, and check that it ends at SIGTERM.

    Args:
        model: The folder of the checkpoint.
        log: The file with what the server prints.
        *options: Further options of ``ziprerank serve``.
        head_timeout: Seconds of the head of a request.
        timeout: Seconds of a request.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.soak.server", "serve", "--model", str(model), "--port", str(port)]
    command += ["--api-key-env", "SOAK_KEY", "--allow-urls", "--device", "cpu"]
    command += ["--head-timeout", str(head_timeout), "--timeout", str(timeout), *options]
    environment = {**os.environ, "SOAK_KEY": _KEY}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        until(lambda: process.poll() is not None or _ready(port))
        assert process.poll() is None, log.read_text()[-2000:]
        yield Target(port, _KEY, head_timeout, timeout), process
        process.terminate()
        process.wait(timeout + 15)
    finally:
        process.kill()
        process.wait()


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ready").status_code == 200
    except httpx.TransportError:
        return False


def _main() -> int:
    from ziprerank_integrations.cli import main
    from ziprerank_integrations.pages import urls

    public = urls._public
    urls._public = lambda address: address == ADDRESS or public(address)
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(_main())
