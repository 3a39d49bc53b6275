"""Curves over the layers of a model, or over another axis: one panel above another, with one axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from ziprerank_integrations.pages import fonts
from ziprerank_integrations.pictures.style import BLUE, GREY, INK, LINE, PAPER, wrap, write

_WIDTH, _PANEL = 1400, 420
_LEFT, _RIGHT, _GAP = 130, 48, 96
_TITLE, _TEXT, _TICK = 40, 25, 22
_SHADE = (233, 240, 247)
_MARK = (176, 74, 22)
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Panel:
    """One curve.

    Attributes:
        title: What the values are, above the panel.
        values: One value for each layer, counted from 1.
        reference: A value at which a dashed line is drawn, such as chance; None draws none.
    """

    title: str
    values: Sequence[float]
    reference: float | None = None


def line_chart(
    title: str,
    notes: Sequence[str],
    panels: Sequence[Panel],
    *,
    band: tuple[int, int] | None = None,
    mark: int | None = None,
    axis: str = "layer, counted from 1",
    labels: Sequence[str] | None = None,
) -> Image.Image:
    """Return curves over layers, one panel above another.

    Args:
        title: The title.
        notes: Lines of text below it; long ones are broken.
        panels: The curves, all over the same layers.
        band: The first and the last layer of a shaded range.
        mark: A layer with a vertical line.
        axis: What is below the axis.
        labels: The labels of the points, where they are not layers.

    Returns:
        An RGB image, 1,400 pixels wide.

    Raises:
        ValueError: If the panels differ in their number of layers, or have none.
    """
    layers = len(panels[0].values)
    if layers == 0 or any(len(panel.values) != layers for panel in panels):
        raise ValueError("every panel needs one value for each layer")
    lines = [(line, _TITLE, INK) for line in wrap(title, _TITLE, _WIDTH - 2 * _RIGHT, 2)]
    for note in notes:
        lines += [(line, _TEXT, GREY) for line in wrap(note, _TEXT, _WIDTH - 2 * _RIGHT, 3)]
    top = _RIGHT + sum(round(size * 1.35) for _, size, _ in lines)
    image = Image.new("RGB", (_WIDTH, top + len(panels) * (_PANEL + _GAP) + 2 * _TEXT + _RIGHT), PAPER)
    draw = ImageDraw.Draw(image)
    y = float(_RIGHT)
    for line, size, ink in lines:
        write(draw, (_RIGHT, y + size), line, size, ink)
        y += round(size * 1.35)
    for number, panel in enumerate(panels):
        upper = top + number * (_PANEL + _GAP) + _GAP
        _panel(draw, panel, upper, band, mark, labels)
    _centred(draw, axis, (_LEFT + _WIDTH - _RIGHT) / 2, upper + _PANEL + 3 * _TEXT, _TEXT, INK)
    return image


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round values, at most ``most`` of them, that enclose the range from ``low`` to ``high``."""
    if high - low < 1e-6:
        low, high = low - 0.05, high + 0.05
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (step * scale for scale in (power, 10 * power) for step in _STEPS):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < most:
            return [round(index * step, 10) for index in range(first, last + 1)]
    raise AssertionError("the largest step is larger than the range")


def _panel(
    draw: ImageDraw.ImageDraw,
    panel: Panel,
    top: float,
    band: tuple[int, int] | None,
    mark: int | None,
    labels: Sequence[str] | None,
) -> None:
    layers, bottom, right = len(panel.values), top + _PANEL, _WIDTH - _RIGHT
    known = [*panel.values] if panel.reference is None else [*panel.values, panel.reference]
    levels = ticks(min(known), max(known))
    step = (right - _LEFT) / layers

    def x(layer: float) -> float:
        return _LEFT + (layer - 0.5) * step

    def y(value: float) -> float:
        return bottom - (value - levels[0]) / (levels[-1] - levels[0]) * _PANEL

    write(draw, (_LEFT, top - _TEXT), panel.title, _TEXT, INK)
    if band is not None:
        draw.rectangle((x(band[0] - 0.5), top, x(band[1] + 0.5), bottom), fill=_SHADE)
    digits = max(0, *(len(f"{level:.6f}".rstrip("0").partition(".")[2]) for level in levels))
    for level in levels:
        draw.line((_LEFT, y(level), right, y(level)), fill=LINE)
        text = f"{level:.{digits}f}"
        write(draw, (_LEFT - 12 - fonts.width(text, _TICK), y(level) + _TICK * 0.35), text, _TICK, GREY)
    draw.line((_LEFT, top, _LEFT, bottom, right, bottom), fill=GREY, width=2)
    every = next(every for every in (1, 2, 4, 5, 10, 20, layers) if layers <= 18 * every)
    for layer in range(1, layers + 1):
        if (layer - (labels is not None)) % every == 0 or layer == 1:
            draw.line((x(layer), bottom, x(layer), bottom + 8), fill=GREY, width=2)
            label = str(layer) if labels is None else labels[layer - 1]
            _centred(draw, label, x(layer), bottom + 10 + _TICK, _TICK, GREY)
    if panel.reference is not None:
        for start in range(_LEFT, right, 16):
            draw.line(
                (start, y(panel.reference), min(start + 8, right), y(panel.reference)), fill=GREY, width=2
            )
    if mark is not None:
        draw.line((x(mark), top, x(mark), bottom), fill=_MARK, width=3)
    points = [(x(layer), y(value)) for layer, value in enumerate(panel.values, 1)]
    draw.line(points, fill=BLUE, width=4, joint="curve")
    for px, py in points:
        draw.ellipse((px - 6, py - 6, px + 6, py + 6), fill=BLUE)


def _centred(
    draw: ImageDraw.ImageDraw, text: str, x: float, y: float, size: int, ink: tuple[int, int, int]
) -> None:
    write(draw, (x - fonts.width(text, size) / 2, y), text, size, ink)
