"""How the cost of a call grows: ``python -m benchmarks.sweeps --json FILE --plot FILE``.

One quantity changes at a time: pages, size of the pages, keep ratio, length of the question, concurrent
clients. Rows are written as they come; a run with the same file measures only what is missing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks import synthetic
from benchmarks.environment import environment
from benchmarks.loaded_engine import LoadedEngine
from benchmarks.presets import PRESETS, build
from benchmarks.timing import cpu_clock
from ziprerank_integrations import Page
from ziprerank_integrations.atomic import replacing, write_text
from ziprerank_integrations.pictures.line_chart import Panel, line_chart
from ziprerank_integrations.pictures.style import PAPER

Row = dict[str, Any]
Clock = Callable[[], float]
_COLUMNS, _WIDTH = 2, 2000  # of the figure


@dataclass(frozen=True)
class Sweep:
    """One quantity.

    Attributes:
        title: What is measured, with what is constant.
        axis: The quantity and its unit.
        values: Its values, evenly spaced where the axis is to show the shape of the growth.
        run: Returns the seconds of one run with a value.
    """

    title: str
    axis: str
    values: tuple[float, ...]
    run: Callable[[LoadedEngine, float, Clock], float]


def _pages(count: int, side: int) -> list[Page]:
    return [Page.from_image(image) for image in synthetic.images(count, side)]


def _seconds(run: Callable[[], object], clock: Clock) -> float:
    start = clock()
    run()
    return clock() - start


def by_pages(engine: LoadedEngine, value: float, clock: Clock) -> float:
    """Time one cold call with ``value`` pages."""
    pages, query = _pages(int(value), 192), synthetic.queries(1)[0]
    engine.clear_cache()
    return _seconds(lambda: engine.rank(query, pages), clock)


def by_side(engine: LoadedEngine, value: float, clock: Clock) -> float:
    """Time one cold call with five pages whose longest edge is ``value`` pixels."""
    pages, query = _pages(5, int(value)), synthetic.queries(1)[0]
    engine.clear_cache()
    return _seconds(lambda: engine.rank(query, pages, max_side=int(value)), clock)


def by_keep(engine: LoadedEngine, value: float, clock: Clock) -> float:
    """Time one warm call with ten pages."""
    pages, query = _pages(10, 512), synthetic.queries(1)[0]
    engine.prepare(pages)
    return _seconds(lambda: engine.rank(query, pages, keep_ratio=value), clock)


def by_words(engine: LoadedEngine, value: float, clock: Clock) -> float:
    """Time one warm call with ten pages and a question of ``value`` random words."""
    pages, query = _pages(10, 192), synthetic.queries(1, words=int(value))[0]
    engine.prepare(pages)
    return _seconds(lambda: engine.rank(query, pages), clock)


def by_clients(engine: LoadedEngine, value: float, clock: Clock) -> float:
    """Return the median time to the response of ``value`` threads that call one engine at once, warm."""
    pages = _pages(10, 192)
    engine.prepare(pages)
    start = clock()

    def request(query: str) -> float:
        engine.rank(query, pages)
        return clock() - start

    with ThreadPoolExecutor(int(value)) as pool:
        return statistics.median(pool.map(request, synthetic.queries(int(value))))


SWEEPS = {
    "pages": Sweep("one call, not cached, pages of 192 px", "pages", (5, 50, 100, 150, 200), by_pages),
    "page size": Sweep("5 pages, not cached", "longest edge of a page, px", (256, 512, 768, 1024), by_side),
    "keep ratio": Sweep("10 cached pages of 512 px", "keep ratio", (0.25, 0.5, 0.75, 1.0), by_keep),
    "question": Sweep(
        "10 cached pages of 192 px", "random words of the question", (3, 250, 500, 750, 1000), by_words
    ),
    "clients": Sweep(
        "10 cached pages of 192 px, time to the median response",
        "concurrent threads",
        (1, 3, 5, 7, 9),
        by_clients,
    ),
}


def measure(
    engine: LoadedEngine, names: Sequence[str], repeats: int, rows: list[Row], save: Callable[[], object]
) -> None:
    """Append a row for each sweep, value and round that ``rows`` lack, round by round.

    Args:
        engine: The engine.
        names: The sweeps.
        repeats: Rounds.
        rows: Rows of an earlier run: ``sweep``, ``value``, ``round``, ``seconds``.
        save: Called after each row.
    """
    clock = cpu_clock(engine.runner.checkpoint.device)
    known = {(row["sweep"], row["value"], row["round"]) for row in rows}
    missing = [
        (name, value, number)
        for number in range(repeats)
        for name in names
        for value in SWEEPS[name].values
        if (name, value, number) not in known
    ]
    if missing:  # The first call of all has costs of its own.
        engine.rank("warm-up", _pages(2, 128))
    for name, value, number in missing:
        seconds = SWEEPS[name].run(engine, value, clock)
        rows.append({"sweep": name, "value": value, "round": number, "seconds": seconds})
        save()


def medians(rows: Sequence[Row], name: str) -> dict[float, float]:
    """Return the median seconds of a sweep by value, without the values that have no row."""
    seconds = {
        value: [row["seconds"] for row in rows if row["sweep"] == name and row["value"] == value]
        for value in SWEEPS[name].values
    }
    return {value: statistics.median(each) for value, each in seconds.items() if each}


def markdown(rows: Sequence[Row]) -> str:
    """Return one line for each sweep: its values with their medians."""
    lines = ["| sweep | seconds by value |", "|---|---|"]
    for name in SWEEPS:
        cells = ", ".join(f"{value:g}: {seconds:.2f}" for value, seconds in medians(rows, name).items())
        lines.append(f"| {name} ({SWEEPS[name].axis}; {SWEEPS[name].title}) | {cells} |")
    return "\n".join(lines) + "\n"


def plot(rows: Sequence[Row], unit: str) -> Image.Image:
    """Return a figure with one chart for each sweep that has rows.

    Args:
        rows: The rows.
        unit: Of the seconds.
    """
    charts = []
    for name, sweep in SWEEPS.items():
        values = medians(rows, name)
        if values:
            labels = [f"{value:g}" for value in values]
            panel = Panel(unit, list(values.values()), reference=0.0)
            charts.append(line_chart(f"By {name}", [sweep.title], [panel], axis=sweep.axis, labels=labels))
    width, height = charts[0].width, max(chart.height for chart in charts)
    figure = Image.new("RGB", (_COLUMNS * width, -(-len(charts) // _COLUMNS) * height), PAPER)
    for index, chart in enumerate(charts):
        figure.paste(chart, (index % _COLUMNS * width, index // _COLUMNS * height))
    return figure.resize((_WIDTH, round(figure.height * _WIDTH / figure.width)), Image.Resampling.LANCZOS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing; write the rows, and the figure if its path is set."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweeps", description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="small", help="size of the model")
    parser.add_argument("--sweep", action="append", choices=SWEEPS, help="repeatable; all by default")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each value")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads for torch")
    parser.add_argument("--json", type=Path, required=True, help="rows; an existing file is continued")
    parser.add_argument("--plot", type=Path, help="the figure, a PNG")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    device = torch.device("cpu")
    settings = {"preset": args.preset, "threads": args.threads}
    results: dict[str, Any] = {**environment("benchmarks.sweeps", arguments, device), **settings, "rows": []}
    if args.json.exists():
        results = json.loads(args.json.read_text())
        if {name: results[name] for name in settings} != settings:
            raise SystemExit(f"{args.json} has the rows of another preset or number of threads")
    rows = results["rows"]
    measure(
        LoadedEngine(build(PRESETS[args.preset], device, torch.float32, "auto")),
        args.sweep or list(SWEEPS),
        args.repeats,
        rows,
        lambda: write_text(args.json, json.dumps(results, indent=1) + "\n"),
    )
    sys.stdout.write(markdown(rows))
    if args.plot is not None:
        with replacing(args.plot) as temporary:
            plot(rows, "CPU seconds" if args.threads == 1 else "seconds").save(temporary, "PNG")


if __name__ == "__main__":
    main()
