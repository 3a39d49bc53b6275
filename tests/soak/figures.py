"""The figures of a soak, as tables of Markdown."""

from __future__ import annotations

import statistics

from tests.soak.attackers import counted
from tests.soak.report import machine
from tests.soak.run import Phase, Soak

SLOW = 0.25
"""Seconds that ``/health`` takes at most on a quiet machine."""
_TEXT = """
`ziprerank serve` in a process of its own, with a minimal Qwen3-VL with random weights. 32 clients (the
three adapters with `url=` and `RemoteReranker`, in equal parts) send requests, each after a pause of two
seconds in the mean, and compare every ranking with that of the same model in their process. They run in one
process; with a pause of one second its interpreter was busy three quarters of the time on a slow machine, so
that they waited for each other as much as for the server. Then attacks run beside them, two at a time. Where
two figures are given, the first one is without attacks.

The latencies (p50, p95, their ratio, `/health`) need a quiet machine: they are checked only if other
programs use at most 5 % of the cores. Clients and attackers use the same cores as the server. All other
figures are always checked.
"""


def section(soak: Soak) -> str:
    """Return the section of the report."""
    return f"{_TEXT}\n{machine()}\n\n{table(soak)}\n\n{attack_table(soak)}"


def table(soak: Soak) -> str:
    """Return the figures of both phases as a table."""
    phases = soak.quiet, soak.attacked
    slow = [sum(seconds > SLOW for seconds in phase.seen.health) for phase in phases]
    rows: dict[str, list[str]] = {
        "seconds": [f"{phase.seen.times[-1] - phase.seen.times[0]:.0f}" for phase in phases],
        "cores used by other programs": [f"{phase.foreign:.0%}" for phase in phases],
        "requests of good clients": [str(len(phase.samples)) for phase in phases],
        "lost": [str(sum(bool(sample.lost) for sample in phase.samples)) for phase in phases],
        "wrong": [str(sum(bool(sample.wrong) for sample in phase.samples)) for phase in phases],
        "their p50": [_ms(percentile(phase, 50)) for phase in phases],
        "their p95": [_ms(percentile(phase, 95)) for phase in phases],
        "ratio of the p95": [f"{percentile(soak.attacked, 95) / percentile(soak.quiet, 95):.2f}"],
        "slowest `/health`": [_ms(max(phase.seen.health)) for phase in phases],
        f"probes of `/health` over {_ms(SLOW)}": [
            f"{count} of {len(phase.seen.health)}" for count, phase in zip(slow, phases, strict=True)
        ],
        "latest start of a probe, on a busy machine": [_ms(max(phase.seen.late)) for phase in phases],
        "largest RSS, worker processes included": [_mib(max(phase.seen.rss)) for phase in phases],
        "RSS 3 s after the last attack": [_mib(soak.after)],
        "growth of the median RSS, 2nd to 4th quarter of the attacks": [_mib(growth(soak))],
        "attacks": [f"{len(soak.runs)} runs of {len(counted(soak.runs))} kinds"],
    }
    lines = [f"| {name} | {' and '.join(values)} |" for name, values in rows.items()]
    return "\n".join(["| measurement | figure |", "|---|---|", *lines])


def attack_table(soak: Soak) -> str:
    """Return the outcomes of each attack, and good requests and the slowest ``/health`` while it ran."""
    lines = ["| attack | outcomes | p95 meanwhile | slowest `/health` |", "|---|---|--:|--:|"]
    for name, counts in counted(soak.runs).items():
        text = ", ".join(f"{count}x {outcome}" for outcome, count in counts.most_common())
        spans = [soak.attacked.seen.between(run.start, run.end) for run in soak.runs if run.name == name]
        slowest = max((max(span.health) for span in spans if span.health), default=0.0)
        meanwhile = [
            sample.seconds
            for sample in soak.attacked.samples
            if any(run.name == name and run.start <= sample.ended < run.end for run in soak.runs)
        ]
        p95 = _ms(_percentile(meanwhile, 95)) if len(meanwhile) > 1 else ""
        lines.append(f"| {name.replace('_', ' ')} | {text} | {p95} | {_ms(slowest)} |")
    return "\n".join(lines)


def percentile(phase: Phase, percent: int) -> float:
    """Return the seconds that some percent of the requests took at most."""
    return _percentile([sample.seconds for sample in phase.samples], percent)


def _percentile(seconds: list[float], percent: int) -> float:
    return statistics.quantiles(seconds, n=100)[percent - 1]


def growth(soak: Soak) -> int:
    """Return by how many bytes the median memory of the last quarter exceeds that of the second one."""
    rss = soak.attacked.seen.rss
    quarter = len(rss) // 4
    return int(statistics.median(rss[3 * quarter :]) - statistics.median(rss[quarter : 2 * quarter]))


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms"


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
