"""Several attacks at a time, in a process of their own, until a point in time."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tests.soak.attacks import ATTACKS
from tests.soak.target import Target
from tests.soak.web import web

BUSY = ("429", "503")
"""What a request gets because the other attack has filled the queue or taken the connections."""


def attack(target: Target, names: Sequence[str], end: float, at_a_time: int = 2) -> dict[str, Counter[str]]:
    """Run attacks in random order, again and again.

    Args:
        target: The server under attack.
        names: Which of the `ATTACKS`.
        end: When the last ones start, in seconds of the wall clock.
        at_a_time: How many run at the same time.

    Returns:
        For each attack, how often which outcome was seen.
    """
    os.nice(10)  # attackers compute on machines of their own
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in names}
    rng = random.Random(1)
    # Every attack once in each round; the pairs differ from round to round.
    turns = itertools.chain.from_iterable(rng.sample(names, len(names)) for _ in itertools.count())

    def run(own: Target) -> None:
        while time.time() < end:
            name = next(turns)
            try:
                outcomes[name].update(ATTACKS[name].run(own))
            except OSError as error:
                outcomes[name][f"{type(error).__name__}: {error}"] += 1

    with web() as url, ThreadPoolExecutor(at_a_time) as pool:
        list(pool.map(run, [replace(target, web=url)] * at_a_time))
    return outcomes


def faults(outcomes: dict[str, Counter[str]]) -> list[str]:
    """Return a line for each attack that had an outcome which the server's limits do not promise."""
    lines = []
    for name, counts in outcomes.items():
        expected = ATTACKS[name].expected
        wrong = {
            outcome: count
            for outcome, count in counts.items()
            if not {outcome, outcome[:3]} & expected and outcome[:3] not in BUSY
        }
        if wrong:
            lines.append(f"{name}: {wrong}, expected {sorted(expected)}")
        if counts and all(outcome[:3] in BUSY for outcome in counts):
            lines.append(f"{name} was rejected before it had an effect: {dict(counts)}")
    return lines
