"""Figures as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.timing import Timed


def head(figures: Mapping[str, Any]) -> str:
    """Write what was measured on, and the stages."""
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    lines = [
        f"`{figures['command']}`",
        "",
        f"{figures['machine']}; {figures['dtype']}; {versions}; matrix products at "
        f"{figures['matmul_flops_per_second'] / 1e12:.3g} TFLOP/s",
        "",
        "| stage, 20 pages | ms | TFLOP | of the machine's rate |",
        "|---|--:|--:|--:|",
    ]
    for name, stage in figures["stages"].items():
        work = f"{stage['tflop']:.3g} | {stage['share']:.0%}" if "tflop" in stage else " | "
        lines.append(f"| {name} | {stage['ms']:.1f} | {work} |")
    lines += ["", "| one warm call | matrix products | elementwise | all the rest |", "|---|--:|--:|--:|"]
    for name, part in figures["profile"].items():
        lines.append(f"| {name} | {part['matrix']:.1%} | {part['elementwise']:.1%} | {part['rest']:.1%} |")
    return "\n".join(lines) + "\n"


def scenario(title: str, baseline: str, timed: Mapping[str, Timed]) -> str:
    """Write one scenario, each way with its ratio to the first one, which is ``plain``."""
    plain = timed["plain"].median
    memory = any(one.peak for one in timed.values())
    lines = [
        "",
        f"| {title} | s | times as fast as {baseline} |" + (" peak GB |" if memory else ""),
        "|---|--:|--:|" + ("--:|" if memory else ""),
    ]
    for name, one in timed.items():
        row = f"| {baseline if name == 'plain' else name} | {one.median:.3f} | {plain / one.median:.2f} |"
        lines.append(row + (f" {one.peak / 1e9:.2f} |" if memory else ""))
    return "\n".join(lines) + "\n"
