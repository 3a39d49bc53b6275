"""Calibration finds the temperature of the logits."""

from __future__ import annotations

import pytest
import torch

from scripts.tiny.temperature import best_temperature

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_the_temperature_of_overconfident_logits_is_found(scale: float) -> None:
    torch.manual_seed(0)
    samples = []
    for _ in range(600):
        logits = torch.randn(12) * 2
        answer = int(torch.multinomial(logits.softmax(0), 1))
        samples.append((logits * scale, answer))
    assert best_temperature(samples) == pytest.approx(scale, rel=0.15)
