"""Recipes and small training data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import picture

TOPICS = ["harbour ferry", "wind energy", "tax revenue", "school library", "glass recycling", "steel bridge"]
WORDS = ["harbour", "energy energy energy", "revenue of the year", "glass"]


def stage1_data(where: Path) -> Path:
    lines = []
    for number, topic in enumerate(TOPICS):
        others = [TOPICS[(number + step) % len(TOPICS)] for step in (1, 2, 3)]
        passages = [f"notes about {text} and more" for text in (*others[:2], topic, others[2])]
        lines.append({"query": topic, "passages": passages, "ranking": [2, 0, 1, 3]})
    path = where / "passages.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def stage2_data(where: Path, *, mixed: bool = False) -> Path:
    """Write four records of three pages, of one size or with ``mixed`` of several."""
    lines = []
    for number in range(4):
        for seed in range(3):
            size = (96, 96 + 32 * (seed + number % 2 if mixed else 0))
            picture(10 * number + seed, size).save(where / f"{number}-{seed}.png")
        pages: list[Any] = [f"{number}-{seed}.png" for seed in range(2)]
        pages.append({"image": f"{number}-2.png"})
        best = number % 3
        row = {"query": WORDS[number], "pages": pages, "ranking": [(best + 1) % 3, (best + 2) % 3]}
        lines.append({**row, "answers": [best]})
    path = where / "pages.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def recipe(where: Path, **values: Any) -> Path:
    path = where / "recipe.yaml"
    trainer = {"logging_steps": 1, "disable_tqdm": True, "use_cpu": True, **values.pop("trainer", {})}
    path.write_text(yaml.safe_dump({"output": "out", "warmup_steps": 0, **values, "trainer": trainer}))
    return path


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path
