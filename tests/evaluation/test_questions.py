"""Questions and their pages."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from tests.conftest import picture
from ziprerank_integrations import Page, ZipRerankError
from ziprerank_integrations.evaluation.questions import DatasetError, Question


def test_pages_are_loaded_on_request() -> None:
    loaded: list[str] = []

    def page(name: str) -> Page:
        loaded.append(name)
        return Page.from_image(picture(int(name)))

    question = Question("1", "q", "all", ("1", "2"), frozenset({"2"}), page, dict)
    assert loaded == []
    assert question.page("2").image().tobytes() == picture(2).tobytes() and loaded == ["2"]
    with pytest.raises(FrozenInstanceError):
        question.text = "another"  # type: ignore[misc]


def test_a_dataset_error_is_also_a_value_error() -> None:
    assert issubclass(DatasetError, ZipRerankError) and issubclass(DatasetError, ValueError)
