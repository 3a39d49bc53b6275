"""Results as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.predictions import strongest
from benchmarks.timing import Timing


def head(results: Mapping[str, Any]) -> str:
    """Return the machine, the versions, and the tables of stages and of the profile."""
    rate = f"matrix products at {results['matmul_flops_per_second'] / 1e12:.3g} TFLOP/s"
    lines = environment(results, results["dtype"], results["clock"], rate)
    if results["stages"]:
        lines += ["", "| stage, 20 pages | ms | TFLOP | of the machine's rate |", "|---|--:|--:|--:|"]
    for name, stage in results["stages"].items():
        work = f"{stage['tflop']:.3g} | {stage['share']:.0%}" if "tflop" in stage else " | "
        lines.append(f"| {name} | {stage['ms']:.1f} | {work} |")
    if results["profile"]:
        lines += ["", "| one warm call | matrix products | elementwise | other |", "|---|--:|--:|--:|"]
    for name, part in results["profile"].items():
        lines.append(f"| {name} | {part['matrix']:.1%} | {part['elementwise']:.1%} | {part['rest']:.1%} |")
    return "\n".join(lines) + "\n"


def environment(results: Mapping[str, Any], *details: str) -> list[str]:
    """Return the command and, in one line, the machine, the versions and further details."""
    versions = [f"{name} {version}" for name, version in results["versions"].items()]
    return [f"`{results['command']}`", "", "; ".join([results["machine"], ", ".join(versions), *details])]


def scenario(title: str, baseline: str, timings: Mapping[str, Timing]) -> str:
    """Return the table of one scenario: each variant with its speed relative to ``baseline``."""
    reference = timings["baseline"].median
    memory = any(timing.peak for timing in timings.values())
    lines = [
        "",
        f"| {title} | s | times as fast as {baseline} |" + (" peak GB |" if memory else ""),
        "|---|--:|--:|" + ("--:|" if memory else ""),
    ]
    for name, timing in timings.items():
        label = baseline if name == "baseline" else name
        row = f"| {label} | {timing.median:.3f} | {reference / timing.median:.2f} |"
        lines.append(row + (f" {timing.peak / 1e9:.2f} |" if memory else ""))
    return "\n".join(lines) + "\n"


def whole_calls(title: str, seconds: Mapping[str, float], predicted: Mapping[str, float]) -> str:
    """Return the table of one scenario of whole calls, with the ratios that FLOPs of `8b` predict.

    Args:
        title: What is ranked.
        seconds: By variant, median seconds.
        predicted: By variant, FLOPs.
    """
    lines = [
        "",
        f"| {title}: times as fast as | s | plain | the fastest stock way "
        "| 8b, predicted: plain | the fastest |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name in seconds:
        best = strongest(name, list(seconds))
        ratios = [
            costs[other] / costs[name] for costs in (seconds, predicted) for other in ("baseline", best)
        ]
        label = "plain: stock transformers" if name == "baseline" else name
        lines.append(f"| {label} | {seconds[name]:.3f} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |")
    return "\n".join(lines) + "\n"
