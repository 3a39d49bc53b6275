"""Several attacks at a time, in a process of their own, until a point in time."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from tests.soak.attacks import ATTACKS
from tests.soak.target import Target
from tests.soak.web import web

BUSY = ("429", "503")
"""Statuses of requests that are rejected because the other attack uses the queue or the connections."""


@dataclass(frozen=True)
class Run:
    """One run of an attack: its name, when it ran on the wall clock in seconds, and its outcomes."""

    name: str
    start: float
    end: float
    outcomes: list[str]


def attack(target: Target, names: Sequence[str], end: float, at_a_time: int = 2) -> list[Run]:
    """Run attacks in random order, again and again, and each of them at least once.

    Args:
        target: The server under attack.
        names: Which of the `ATTACKS`.
        end: When the last ones start, in seconds of the wall clock.
        at_a_time: How many run at the same time.
    """
    os.nice(10)  # attackers compute on machines of their own
    runs: list[Run] = []
    rng = random.Random(1)
    # Every attack once in each round; the pairs differ from round to round.
    rounds = itertools.chain.from_iterable(rng.sample(names, len(names)) for _ in itertools.count())
    turns = enumerate(rounds)
    lock = threading.Lock()

    def work(own: Target) -> None:
        while True:
            with lock:
                number, name = next(turns)
            start = time.time()
            if start > end and number >= len(names):
                return
            try:
                outcomes = ATTACKS[name].run(own)
            except OSError as error:
                outcomes = [f"{type(error).__name__}: {error}"]
            runs.append(Run(name, start, time.time(), outcomes))

    with web() as url, ThreadPoolExecutor(at_a_time) as pool:
        list(pool.map(work, [replace(target, web=url)] * at_a_time))
    return runs


def counted(runs: Sequence[Run]) -> dict[str, Counter[str]]:
    """Return for each attack how often which outcome was seen."""
    outcomes: dict[str, Counter[str]] = {}
    for run in sorted(runs, key=lambda run: run.name):
        outcomes.setdefault(run.name, Counter()).update(run.outcomes)
    return outcomes


def faults(runs: Sequence[Run]) -> list[str]:
    """Return a line for each attack that had an outcome which the server's limits do not promise."""
    lines = []
    for name, counts in counted(runs).items():
        expected = ATTACKS[name].expected
        wrong = {
            outcome: count
            for outcome, count in counts.items()
            if not {outcome, outcome[:3]} & expected and outcome[:3] not in BUSY
        }
        if wrong:
            lines.append(f"{name}: {wrong}, expected {sorted(expected)}")
        if all(outcome[:3] in BUSY for outcome in counts):
            lines.append(f"{name} was rejected before it had an effect: {dict(counts)}")
    return lines
