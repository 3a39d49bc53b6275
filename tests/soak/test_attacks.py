"""A server under attack serves its good clients as before."""

from __future__ import annotations

import math
import os
import statistics
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.soak.attackers import faults
from tests.soak.attacks import ATTACKS
from tests.soak.report import machine, table, write_section
from tests.soak.run import Phase, Soak, soak

_SECONDS = float(os.environ.get("ZIPRERANK_SOAK_SECONDS", "600"))
_QUIET_SECONDS = 60.0
_QUIET_MACHINE = 0.05  # the most that other programs may use of the cores
_MIB = 2**20


@pytest.mark.slow
def test_attacks_cost_good_clients_nothing(
    untied: Path, make_pdf: Callable[..., Path], tmp_path: Path
) -> None:
    names = (
        "pdf_of_a_million_pages",
        "page_selection_of_1_mb",
        "json_of_empty_lists_in_an_unknown_field",
        "json_of_a_million_levels",
        "form_of_many_parts",
        "images_of_gigapixels",
        "clients_that_hang_up_on_1000_cached_documents",
        "half_heads",
        "header_lines_of_40_mib",
        "wrong_keys",
        "foreign_hosts_and_origins",
        "urls_of_private_addresses",
    )
    log = tmp_path / "server.log"
    result = soak(
        untied, make_pdf(4), log, quiet=1, attacked=12, clients=8, names=names, head_timeout=2, timeout=20
    )
    assert not result.faults
    assert len(result.attacked.samples) > 20
    assert all(result.outcomes[name] for name in names)
    assert all(map(math.isfinite, result.attacked.seen.health))


def test_an_outcome_that_is_not_promised_is_a_fault() -> None:
    outcomes = {
        "half_heads": Counter({"closed": 99, "not closed": 1}),
        "wrong_keys": Counter({"200": 1}),
        "slow_urls": Counter({"429 queue_full": 3}),
        "body_in_gzip": Counter({"415 unsupported_encoding": 3, "503 too_many_connections": 1}),
    }
    lines = faults(outcomes)
    assert len(lines) == 3
    assert "half_heads" in lines[0] and "wrong_keys" in lines[1] and "rejected" in lines[2]


@pytest.mark.soak
def test_every_attack_two_at_a_time(
    untied: Path, make_pdf: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "server.log"
    result = soak(untied, make_pdf(4), log, quiet=min(_QUIET_SECONDS, _SECONDS), attacked=_SECONDS)
    figures = table(_rows(result))
    write_section("A server under attack", f"{_TEXT}\n\n{machine()}\n\n{figures}\n\n{_attacks(result)}")
    with capsys.disabled():
        sys.stdout.write(f"\n{figures}\n")
    assert not result.faults, "\n".join(result.faults)[:10_000]
    assert set(result.outcomes) == set(ATTACKS) and all(result.outcomes.values())
    assert max(result.attacked.seen.rss) < max(result.quiet.seen.rss) + 1500 * _MIB
    assert _growth(result) < 200 * _MIB
    if max(result.quiet.foreign, result.attacked.foreign) <= _QUIET_MACHINE:
        assert _p95(result.attacked) <= 2 * _p95(result.quiet)
        assert max(result.attacked.seen.health) < 0.25


_TEXT = """`ziprerank serve` in a process of its own, with a minimal Qwen3-VL with random weights. 32 clients (the three
adapters with `url=` and `RemoteReranker`, in equal parts) send requests, each after a pause of a second in the
mean, and compare every ranking with that of the same model in their process. Then attacks run beside them, two
at a time. The latencies need a quiet machine: they are checked only where other programs use at most 5 % of
the cores, and clients and attackers use the same cores as the server. All other figures are always checked."""


def _rows(result: Soak) -> list[tuple[str, str]]:
    quiet, attacked = result.quiet, result.attacked
    late = max(attacked.seen.late)
    slow = sum(seconds > 0.25 for seconds in attacked.seen.health)
    return [
        ("seconds, quiet and under attack", f"{_length(quiet):.0f} and {_length(attacked):.0f}"),
        ("cores used by other programs", f"{quiet.foreign:.0%} and {attacked.foreign:.0%}"),
        ("requests of good clients", f"{len(quiet.samples)} and {len(attacked.samples)}"),
        ("lost", _count(result, "lost")),
        ("wrong", _count(result, "wrong")),
        ("their p50", f"{_percentile(quiet, 50)} and {_percentile(attacked, 50)}"),
        ("their p95", f"{_percentile(quiet, 95)} and {_percentile(attacked, 95)}"),
        ("ratio of the p95", f"{_p95(attacked) / _p95(quiet):.2f}"),
        (
            "slowest `/health`",
            f"{max(quiet.seen.health) * 1e3:.0f} ms and {max(attacked.seen.health) * 1e3:.0f} ms",
        ),
        ("probes of `/health` over 250 ms", f"{slow} of {len(attacked.seen.health)}"),
        ("latest start of a probe, by a busy machine", f"{late * 1e3:.0f} ms"),
        (
            "largest RSS, with worker processes",
            f"{_mib(max(quiet.seen.rss))} and {_mib(max(attacked.seen.rss))}",
        ),
        ("RSS 3 s after the attacks", _mib(result.after)),
        ("growth of the median RSS from the 2nd to the 4th quarter", _mib(_growth(result))),
        (
            "attacks",
            f"{len(result.outcomes)} kinds, {sum(map(Counter.total, result.outcomes.values()))} outcomes",
        ),
    ]


def _attacks(result: Soak) -> str:
    lines = ["| attack | outcomes |", "|---|---|"]
    for name, counts in sorted(result.outcomes.items()):
        text = ", ".join(f"{count} × {outcome}" for outcome, count in counts.most_common())
        lines.append(f"| {name.replace('_', ' ')} | {text} |")
    return "\n".join(lines)


def _length(phase: Phase) -> float:
    return phase.seen.times[-1] - phase.seen.times[0]


def _count(result: Soak, name: str) -> str:
    return " and ".join(
        str(sum(bool(getattr(sample, name)) for sample in phase.samples))
        for phase in (result.quiet, result.attacked)
    )


def _percentile(phase: Phase, percent: int) -> str:
    return f"{statistics.quantiles([s.seconds for s in phase.samples], n=100)[percent - 1] * 1e3:.0f} ms"


def _p95(phase: Phase) -> float:
    return statistics.quantiles([sample.seconds for sample in phase.samples], n=100)[94]


def _growth(result: Soak) -> int:
    """Return by how many bytes the median memory of the last quarter exceeds that of the second one."""
    rss = result.attacked.seen.rss
    quarter = len(rss) // 4
    return int(statistics.median(rss[3 * quarter :]) - statistics.median(rss[quarter : 2 * quarter]))


def _mib(size: int) -> str:
    return f"{size / _MIB:.0f} MiB"
