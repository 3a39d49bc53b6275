"""The results of ``python -m benchmarks.pointwise`` as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks import table


def render(results: Mapping[str, Any]) -> str:
    """Return the machine, a table of warm costs, one of states, and the goals."""
    rows = {f"{name}, counted": costs for name, costs in results["counted"].items()}
    measured = results["measured"]
    if measured is not None:
        rows[f"{measured['preset']}, counted"] = measured["counted"]
        rows[f"{measured['preset']}, measured"] = measured
    names = list(next(iter(rows.values()))["modes"])
    lines = [
        *table.environment(results),
        "",
        f"| a warm page, of the dense cost | {' | '.join(names)} |",
        "|---|" + "--:|" * len(names),
    ]
    for title, row in rows.items():
        shares = (f"{row['modes'][name]['warm']:.1%}" for name in names)
        lines.append(f"| {title} | {' | '.join(shares)} |")
    lines += [
        "",
        f"| a page's state: of the dense cost, MiB | {' | '.join(names)} |",
        "|---|" + "--:|" * len(names),
    ]
    for title, row in rows.items():
        states = (
            f"{row['modes'][name]['build']:.0%}, {row['modes'][name]['mib_per_page']:.3g}" for name in names
        )
        lines.append(f"| {title} | {' | '.join(states)} |")
    lines += ["", "| KiB per token of a state | " + " | ".join(names) + " |", "|---|" + "--:|" * len(names)]
    for title, row in rows.items():
        if title.endswith("counted"):
            sizes = (f"{row['modes'][name]['kib_per_token']:g}" for name in names)
            lines.append(f"| {title} | {' | '.join(sizes)} |")
    lines += ["", "| goal: + band, warm | share | limit | |", "|---|--:|--:|---|"]
    for goal in results["goals"]:
        verdict = "PASS" if goal["passed"] else "FAIL"
        lines.append(f"| {goal['name']} | {goal['value']:.2%} | {goal['limit']:.0%} | {verdict} |")
    return "\n".join(lines) + "\n"
