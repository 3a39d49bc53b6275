"""Measurements of a server from a process of its own: the delay of ``/health``, and memory."""

from __future__ import annotations

import http.client
import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import psutil

_INTERVAL = 0.1


@dataclass
class Observation:
    """What a monitor has measured; lists in the same order, one entry per probe.

    Attributes:
        times: When a probe started, in seconds of the wall clock.
        health: Seconds until ``/health`` responded with 200; infinity if it did not.
        late: Seconds that the probe started late because the machine was busy.
        rss: Bytes of the server and its worker processes.
    """

    times: list[float] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    rss: list[int] = field(default_factory=list)

    def between(self, start: float, end: float) -> Observation:
        """Return the probes that started within a span of time."""
        indices = [index for index, moment in enumerate(self.times) if start <= moment < end]
        return Observation(**{name: [values[i] for i in indices] for name, values in vars(self).items()})


@contextmanager
def observing(port: int, process: int) -> Iterator[Observation]:
    """Probe a server every 100 ms until the block ends; then the observation is complete.

    Args:
        port: Of the server, on the loopback interface.
        process: The id of its process.
    """
    seen = Observation()
    command = [sys.executable, "-m", "tests.soak.monitor", str(port), str(process)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as monitor:
        try:
            yield seen
        finally:
            output, _ = monitor.communicate(timeout=120)
    vars(seen).update(json.loads(output))


def rss(server: psutil.Process) -> int:
    """Return the bytes of a process and its descendants."""
    total = 0
    for process in [server, *server.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:  # a worker that was killed
            pass
    return total


def _observe(port: int, process: int) -> Observation:
    """Probe a server until the standard input ends."""
    server, seen = psutil.Process(process), Observation()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    due = time.monotonic()
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        seen.late.append(time.monotonic() - due)
        seen.times.append(time.time())
        start = time.perf_counter()
        healthy = _healthy(connection)
        seen.health.append(time.perf_counter() - start if healthy else float("inf"))
        seen.rss.append(rss(server))
        due = max(due + _INTERVAL, time.monotonic())
    return seen


def _healthy(connection: http.client.HTTPConnection) -> bool:
    for _ in range(2):  # a connection that was kept alive may have been closed
        try:
            connection.request("GET", "/health")
            response = connection.getresponse()
            response.read()
            return response.status == 200
        except (OSError, http.client.HTTPException):
            connection.close()
    return False


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(_observe(int(sys.argv[1]), int(sys.argv[2])))))
