"""``ziprerank serve`` as a process, and the guide's commands."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.helpers.serving import TIMEOUT, command, until

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "import sys; from ziprerank_integrations.cli import main; sys.exit(main())"]
COMMAND += ["serve"]
GUIDE = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
CURLS = re.findall(r"^curl (?:.*\\\n)*.*", GUIDE, re.MULTILINE)


@contextmanager
def serving(*options: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """Start the command on a free port; yield the process, its address, and its lines on stderr."""
    arguments = [*COMMAND, "--port", "0", *options]
    with command(arguments, r"running on (http://\S+)", **environment) as started:
        yield started


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving("--model", "tiny", "--max-side", "256") as (_, url, _):
        until(lambda: httpx.get(f"{url}/ready").status_code == 200)
        yield url


@pytest.mark.slow
@pytest.mark.parametrize("line", CURLS)
def test_the_guides_commands_work(address: str, line: str) -> None:
    assert "http://127.0.0.1:8000" in line
    pasted = line.replace("http://127.0.0.1:8000", address)
    done = subprocess.run(
        ["bash", "-c", pasted], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    if "/metrics" in line:
        assert "ziprerank_requests_total" in done.stdout
        return
    answer = json.loads(done.stdout)
    if "/v1/rerank" in line:
        assert answer["model"] == "tiny" and len(answer["results"]) >= 2
    else:
        assert answer["status"] in ("ready", "alive")


@pytest.mark.slow
def test_requests_of_other_hosts_and_origins_are_rejected(address: str) -> None:
    assert httpx.get(f"{address}/health", headers={"Host": "evil.example"}).status_code == 421
    assert httpx.get(f"{address}/health", headers={"Origin": "https://evil.example"}).status_code == 403
    assert httpx.get(address.replace("127.0.0.1", "localhost") + "/health").status_code == 200


@pytest.mark.slow
def test_a_network_address_without_a_key_must_be_asked_for() -> None:
    with serving("--model", "tiny", "--host", "0.0.0.0", "--no-api-key") as (_, url, _):
        url = url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/health", headers={"Host": "gpu"}).status_code == 200


def test_the_guide_has_commands() -> None:
    assert sum("/v1/rerank " in line for line in CURLS) >= 1
    assert sum("/v1/rerank/pdf " in line for line in CURLS) >= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "statuses"), [(signal.SIGTERM, (0, -signal.SIGTERM)), (signal.SIGINT, (130,))]
)
def test_a_signal_finishes_accepted_requests(sent: signal.Signals, statuses: tuple[int, ...]) -> None:
    options = ("--model", "tiny", "--max-side", "512", "--api-key-env", "KEY")
    with serving(*options, KEY="k") as (process, url, lines), ThreadPoolExecutor(6) as pool:
        body = {"query": "q", "documents": [f"text number {number}" for number in range(8)]}
        headers = {"Authorization": "Bearer k"}
        assert httpx.post(f"{url}/v1/rerank", json=body).status_code == 401

        def request(_: int) -> int:
            return httpx.post(f"{url}/v1/rerank", json=body, headers=headers, timeout=TIMEOUT).status_code

        responses = [pool.submit(request, number) for number in range(6)]  # 4 at a time
        waiting = "\nziprerank_queue_length 2.0\n"

        def two_wait() -> bool:
            return waiting in httpx.get(f"{url}/metrics", headers=headers).text

        def all_accepted() -> bool:
            # Twice: for a moment, two that were accepted first may wait for their threads.
            if not two_wait():
                return False
            time.sleep(0.3)
            return two_wait()

        until(all_accepted)
        process.send_signal(sent)
        assert [response.result() for response in responses] == [200] * 6
        assert process.wait(TIMEOUT) in statuses
    assert "Traceback" not in "".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--api-key-env", "NOT_SET_ANYWHERE"], "the environment variable NOT_SET_ANYWHERE is not set"),
        (["--timeout", "0"], "timeout=0"),
        (["--keep-ratio", "2"], "keep_ratio=2"),
        (["--max-connections", "0"], "max_connections=0"),
        (["--head-timeout", "0"], "head_timeout=0"),
        (["--allow-origin", "app.example.org"], "allow_origin='app.example.org'"),
        (["--host", "0.0.0.0"], "--api-key-env, or --no-api-key"),
        (["--model", "/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_an_invalid_option_is_one_line(options: list[str], part: str) -> None:
    done = subprocess.run(
        [*COMMAND, "--model", "tiny", *options],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode in (1, 2) and len(done.stderr.strip().splitlines()) == 1
    assert part in done.stderr and done.stderr.startswith("ziprerank: ")
