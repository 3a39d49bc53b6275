"""A server under attack serves its good clients as before."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.soak.attackers import Run, counted, faults
from tests.soak.attacks import ATTACKS
from tests.soak.figures import SLOW, attack_table, growth, percentile, section, table
from tests.soak.report import write_section
from tests.soak.run import soak

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
    short = {"quiet": 2.0, "attacked": 8.0, "pause": 0.5, "head_timeout": 2.0, "timeout": 20.0}
    result = soak(untied, make_pdf(4), log, clients=8, names=names, **short)
    assert not result.faults, "\n".join(result.faults)[:5000]
    assert len(result.attacked.samples) > 20
    assert set(counted(result.runs)) == set(names)
    assert all(map(math.isfinite, result.attacked.seen.health))
    assert f"requests of good clients | {len(result.quiet.samples)} and" in section(result)


def test_an_outcome_that_is_not_promised_is_a_fault() -> None:
    lines = faults(
        [
            Run("half_heads", 1.0, 2.0, ["closed", "not closed"]),
            Run("wrong_keys", 1.0, 2.0, ["200"]),
            Run("slow_urls", 1.0, 2.0, ["429 queue_full", "429 queue_full"]),
            Run("body_in_gzip", 1.0, 2.0, ["503 too_many_connections"]),
            Run("body_in_gzip", 1.0, 2.0, ["415 unsupported_encoding"]),
        ]
    )
    assert len(lines) == 3
    assert "half_heads" in lines[0] and "rejected" in lines[1] and "wrong_keys" in lines[2]


@pytest.mark.soak
def test_every_attack_two_at_a_time(
    untied: Path, make_pdf: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "server.log"
    result = soak(untied, make_pdf(4), log, quiet=min(_QUIET_SECONDS, _SECONDS), attacked=_SECONDS)
    write_section("A server under attack", section(result))
    with capsys.disabled():
        sys.stdout.write(f"\n{table(result)}\n\n{attack_table(result)}\n")
    assert not result.faults, "\n".join(result.faults)[:10_000]
    assert set(counted(result.runs)) == set(ATTACKS)
    assert max(result.attacked.seen.rss) < max(result.quiet.seen.rss) + 1500 * _MIB
    assert growth(result) < 200 * _MIB
    if max(result.quiet.foreign, result.attacked.foreign) <= _QUIET_MACHINE:
        assert percentile(result.attacked, 95) <= 2 * percentile(result.quiet, 95)
        assert max(result.attacked.seen.health) < SLOW
