"""The chart of curves over layers: axes, points, and what is shaded."""

from __future__ import annotations

import numpy as np
import pytest

from ziprerank_integrations.pictures import line_chart as module
from ziprerank_integrations.pictures.line_chart import Panel, line_chart, ticks
from ziprerank_integrations.pictures.style import BLUE


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.5, 0.95, [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.42, 0.58, [0.4, 0.45, 0.5, 0.55, 0.6]),
        (0.99991, 1.0, [0.9999, 0.99992, 0.99994, 0.99996, 0.99998, 1.0]),
        (0.5, 0.5, [0.45, 0.475, 0.5, 0.525, 0.55]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_any_range_has_few_ticks_that_enclose_it() -> None:
    rng = np.random.default_rng(0)
    for low, high in np.sort(rng.uniform(-1, 1, (300, 2)), 1).tolist():
        levels = ticks(low, high)
        assert 2 <= len(levels) <= 7 and levels == sorted(levels)
        assert levels[0] <= low + 1e-6 and high - 1e-6 <= levels[-1]


def columns(image: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return np.nonzero((image == color).all(-1).any(0))[0]


def test_a_larger_value_is_higher_and_layers_run_to_the_right() -> None:
    values = [0.5, 0.6, 0.9, 0.7]
    image = np.asarray(line_chart("title", ["note"], [Panel("a", values, 0.5)]))
    assert image.shape[1] == 1400
    blue = (image == BLUE).all(-1)
    step = (1400 - module._LEFT - module._RIGHT) / 4
    tops = [np.nonzero(blue[:, int(module._LEFT + (layer + 0.5) * step)])[0].mean() for layer in range(4)]
    assert sorted(range(4), key=lambda layer: -tops[layer]) == [0, 1, 3, 2]


def test_the_band_is_shaded_and_the_mark_is_drawn_in_every_panel() -> None:
    panels = [Panel("a", [0.1] * 10), Panel("b", [0.2] * 10)]
    image = np.asarray(line_chart("title", [], panels, band=(3, 5), mark=5))
    plain = np.asarray(line_chart("title", [], panels))
    step = (1400 - module._LEFT - module._RIGHT) / 10
    shaded = columns(image, module._SHADE)
    assert shaded.min() == pytest.approx(module._LEFT + 2 * step, abs=2)
    assert shaded.max() == pytest.approx(module._LEFT + 5 * step, abs=2)
    assert columns(image, module._MARK).mean() == pytest.approx(module._LEFT + 4.5 * step, abs=2)
    rows = np.nonzero((image == module._MARK).all(-1).any(1))[0]
    assert rows.max() - rows.min() > 1.9 * module._PANEL
    assert not len(columns(plain, module._SHADE)) and not len(columns(plain, module._MARK))


@pytest.mark.parametrize("layers", [1, 2, 17, 28, 36, 80, 500])
def test_any_number_of_layers_fits(layers: int) -> None:
    image = line_chart("t" * 500, ["n" * 900], [Panel("p", [0.5] * layers), Panel("q", [1.0] * layers)])
    assert image.width == 1400


def test_panels_of_other_lengths_raise() -> None:
    with pytest.raises(ValueError, match="one value for each layer"):
        line_chart("t", [], [Panel("a", [0.1]), Panel("b", [0.1, 0.2])])
    with pytest.raises(ValueError, match="one value for each layer"):
        line_chart("t", [], [Panel("a", [])])
