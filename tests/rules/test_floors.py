"""The floors of the dependencies: no version with a known vulnerability is allowed."""

from __future__ import annotations

import re

import pytest

from tests.rules.package import REPOSITORY

# The first version without the vulnerabilities that pyproject.toml names.
SAFE = {
    "pillow": (12, 3),
    "jinja2": (3, 1, 6),
    "torch": (2, 10),
    "tqdm": (4, 66, 3),
    "transformers": (5, 10, 1),
    "pymupdf": (1, 28),
    "pypdf": (6, 21, 4),
    "pypdfium2": (5, 15),
    "pyarrow": (23, 0, 1),
    "fastapi": (0, 136, 3),
    "h11": (0, 16),
    "python-multipart": (0, 0, 27),
    "starlette": (1, 0, 1),
    "ray": (2, 56),
    "langchain-core": (1, 3, 3),
    "opencv-python-headless": (4, 12),
}


@pytest.mark.parametrize("package", SAFE)
def test_no_vulnerable_version_is_allowed(package: str) -> None:
    text = (REPOSITORY / "pyproject.toml").read_text()
    floors = re.findall(rf'"{re.escape(package)}(?:\[\w+\])?>=([\d.]+)', text)
    assert floors
    for floor in floors:
        assert tuple(map(int, floor.split("."))) >= SAFE[package]


def test_every_dependency_has_a_floor() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text()
    section = text[text.index("dependencies = [") : text.index("[project.scripts]")]
    for dependency in re.findall(r'"([^"]+)"', section):
        assert ">=" in dependency or dependency.startswith("ziprerank-integrations["), dependency
