"""The computed memory is that of the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from benchmarks.memory import measure
from benchmarks.presets import PRESETS

ROOT = Path(__file__).parents[2]


def test_the_documented_memory_of_the_published_model_is_the_computed_one() -> None:
    computed = {name: size / 1e9 for name, size in measure(PRESETS["8b"], torch.bfloat16).items()}
    rows = re.findall(r"^\| (.*?) \| ([\d., ]+) \|$", (ROOT / "docs" / "hardware.md").read_text(), re.M)
    documented = [float(value) for _, values in rows for value in values.split(", ")]
    expected = [
        computed["weights"],
        computed["vision"],
        *(computed[f"language, keep {keep}"] for keep in (1.0, 0.5, 0.25)),
        computed["page"],
    ]
    assert [round(value, 3 if value < 0.1 else 1) for value in expected] == documented
