"""The sections of benchmarks/soak.md."""

from __future__ import annotations

from pathlib import Path

from tests.soak.report import write_section


def test_a_section_replaces_only_the_one_with_its_title(tmp_path: Path) -> None:
    path = tmp_path / "soak.md"
    write_section("Load", "old\n\n| a | b |", path)
    write_section("Attacks", "other\n", path)
    write_section("Load", "new", path)
    head, load, attacks = path.read_text().split("## ")
    assert head.startswith("# ") and load == "Load\n\nnew\n\n" and attacks == "Attacks\n\nother\n"
