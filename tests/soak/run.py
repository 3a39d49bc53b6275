"""One soak: good clients and a monitor, first alone, then while attacks run."""

from __future__ import annotations

import math
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.soak.attackers import Run, attack, faults
from tests.soak.attacks import ATTACKS
from tests.soak.monitor import Observation, observing, rss
from tests.soak.server import serving
from tests.soak.traffic import Sample, Traffic, calls
from ziprerank_integrations import ZipReranker

MAX_SIDE = 96  # small pages, so that a request takes little of the processor


@dataclass(frozen=True)
class Phase:
    """What was measured while the server was quiet, or under attack.

    Attributes:
        samples: The requests of good clients that ended in it.
        seen: The monitor's observations.
        foreign: The share of all cores that other programs of the machine used.
    """

    samples: list[Sample]
    seen: Observation
    foreign: float


@dataclass(frozen=True)
class Soak:
    """A soak that has ended.

    Attributes:
        quiet: The first phase.
        attacked: The second one.
        after: Bytes of the server and its processes some seconds after the last attack.
        runs: The attacks that were run.
        log: What the server printed.
    """

    quiet: Phase
    attacked: Phase
    after: int
    runs: list[Run]
    log: str

    @property
    def faults(self) -> list[str]:
        """All that went wrong, whatever the speed of the machine: a line each."""
        samples = self.quiet.samples + self.attacked.samples
        lines = [f"lost: {sample.lost}" for sample in samples if sample.lost]
        lines += [f"wrong: {sample.wrong}" for sample in samples if sample.wrong]
        lines += faults(self.runs)
        if "Traceback" in self.log:
            lines.append("the server printed: " + self.log[self.log.index("Traceback") :][:3000])
        return lines


class _Processor:
    """Measures how much of the cores other programs use than this one and its children."""

    def __init__(self) -> None:
        self._busy, self._all, self._own = self._read()

    @staticmethod
    def _read() -> tuple[float, float, float]:
        times = psutil.cpu_times()
        total = sum(times) - getattr(times, "guest", 0) - getattr(times, "guest_nice", 0)
        own = 0.0
        process = psutil.Process()
        for relative in [process, *process.children(recursive=True)]:
            try:
                own += sum(relative.cpu_times()[:4])  # of children that have ended, too
            except psutil.NoSuchProcess:
                pass
        return total - times.idle - getattr(times, "iowait", 0), total, own

    def foreign(self) -> float:
        """Return the share of all cores that other programs used since this object was created."""
        busy, total, own = self._read()
        return max(0.0, (busy - self._busy - (own - self._own)) / max(1e-9, total - self._all))


def soak(
    model: Path,
    pdf: Path,
    log: Path,
    *,
    quiet: float,
    attacked: float,
    clients: int = 32,
    pause: float = 2.0,
    names: tuple[str, ...] = tuple(ATTACKS),
    head_timeout: float = 10.0,
    timeout: float = 20.0,
) -> Soak:
    """Run a server, good clients, and then attacks on it.

    Args:
        model: The folder of the checkpoint.
        pdf: A file of at least four pages, for the good clients.
        log: The file for what the server prints.
        quiet: Seconds before the first attack.
        attacked: Seconds in which attacks start.
        clients: The number of good clients.
        pause: The mean of the seconds between two requests of a client.
        names: Which attacks.
        head_timeout: Seconds of the head of a request.
        timeout: Seconds of a request.
    """
    # A process of their own for the attackers, with its own interpreter: no lock delays the good clients.
    attackers = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    options = ("--max-side", str(MAX_SIDE))
    with (
        attackers,
        ZipReranker(model, max_side=MAX_SIDE, device="cpu") as reranker,
        serving(model, log, *options, head_timeout=head_timeout, timeout=timeout) as (target, process),
    ):
        groups = calls(target, reranker, pdf)
        for call in (call for group in groups for call in group):  # the first ones open connections
            assert call.send() == call.expected
        traffic = Traffic(groups, clients, pause)
        with observing(target.port, process.pid) as seen:
            with traffic.running():
                start, processor = time.time(), _Processor()
                time.sleep(quiet)
                middle, quiet_foreign, processor = time.time(), processor.foreign(), _Processor()
                runs = attackers.submit(attack, target, names, middle + attacked).result()
                attacked_foreign = processor.foreign()
            time.sleep(3)
            after = rss(psutil.Process(process.pid))
    phases = [
        Phase(
            [sample for sample in traffic.samples if begin <= sample.ended < end],
            seen.between(begin, end),
            share,
        )
        for begin, end, share in ((start, middle, quiet_foreign), (middle, math.inf, attacked_foreign))
    ]
    return Soak(*phases, after, runs, log.read_text(errors="replace"))
