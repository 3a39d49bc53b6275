"""The pydantic settings of two adapters: one ranker per settings; equality, copies, pickling, JSON."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager

from tests.conftest import picture
from tests.helpers.adapters import ADAPTERS, Adapter, Recorder, png
from ziprerank_integrations import PageError
from ziprerank_integrations.documents.adapter_settings import AdapterSettings
from ziprerank_integrations.documents.ranker import DocumentRanker

PYDANTIC = [adapter for adapter in ADAPTERS if adapter.name != "haystack"]
adapters = pytest.mark.parametrize("adapter", PYDANTIC, ids=lambda adapter: adapter.name)


def rank(adapter: Adapter, ranker: Any, count: int = 3) -> list[str]:
    documents = [adapter.document(f"d{index}", f"words {index}") for index in range(count)]
    return [adapter.id(document) for document in adapter.rank(ranker, "q", documents)]


def pickled(ranker: Any) -> Any:
    return pickle.loads(pickle.dumps(ranker))


@adapters
def test_one_ranker_is_made_per_settings(adapter: Adapter) -> None:
    ranker = adapter.make(reranker=Recorder(), top_n=2)
    first: DocumentRanker = ranker._ranker()
    rank(adapter, ranker)
    assert ranker._ranker() is first
    ranker.top_n = 2
    assert ranker._ranker() is first  # an equal value is the same setting


@adapters
def test_an_assigned_setting_makes_another_ranker(adapter: Adapter) -> None:
    ranker = adapter.make(reranker=Recorder(), top_n=2)
    first = ranker._ranker()
    assert rank(adapter, ranker) == ["d2", "d1"]
    ranker.top_n = 1
    assert ranker._ranker() is not first
    assert rank(adapter, ranker) == ["d2"]
    ranker.reranker = Recorder(broken=["d0"])
    with pytest.raises(PageError, match="d0"):
        documents = [adapter.document("d0", memory=png(picture(1, (96, 64)))[:-600])]
        adapter.rank(ranker, "q", documents)


@adapters
def test_a_copy_with_other_settings_has_its_own_ranker(adapter: Adapter) -> None:
    ranker = adapter.make(reranker=Recorder(), top_n=2)
    assert rank(adapter, ranker) == ["d2", "d1"]
    changed = ranker.model_copy(update={"top_n": 1})
    assert rank(adapter, changed) == ["d2"]
    assert rank(adapter, ranker) == ["d2", "d1"]
    assert changed._ranker() is not ranker._ranker()


@adapters
def test_a_secret_reaches_the_ranker_as_text(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    options: list[dict[str, Any]] = []
    init = DocumentRanker.__init__
    monkeypatch.setattr(
        DocumentRanker, "__init__", lambda self, **named: options.append(named) or init(self, **named)
    )
    ranker = adapter.make(url="http://localhost:9", api_key="first")
    ranker.api_key = type(ranker.api_key)("second")
    ranker._ranker()
    assert [made["api_key"] for made in options] == ["first", "second"]


@adapters
def test_equal_adapters_stay_equal_after_use(adapter: Adapter) -> None:
    settings: dict[str, Any] = {"reranker": Recorder(), "top_n": 2}
    if adapter.name == "llama_index":
        settings["callback_manager"] = CallbackManager()  # else each node postprocessor makes its own
    used, unused = adapter.make(**settings), adapter.make(**settings)
    assert used == unused
    rank(adapter, used)
    used.top_n = 1
    rank(adapter, used)
    assert used != unused
    used.top_n = 2
    assert used == unused and unused == used
    assert type(used).model_construct(**dict(used)) == used


@adapters
def test_the_ranker_is_neither_shown_nor_serialised(adapter: Adapter, tmp_path: Path) -> None:
    ranker = adapter.make(model="tiny", top_n=2, token="hidden", root_path=tmp_path)
    rank(adapter, ranker, count=0)
    names = set(AdapterSettings.model_fields)
    assert set(ranker.model_dump()) <= names | set(type(ranker).model_fields) | {"class_name"}
    for text in (repr(ranker), str(ranker), ranker.model_dump_json()):
        assert "hidden" not in text and "DocumentRanker" not in text and "_cached" not in text


@adapters
@pytest.mark.parametrize("first", [{}, {"first_model": "owner/model", "first_keep": 9}], ids=str)
def test_json_round_trip(adapter: Adapter, first: dict[str, Any]) -> None:
    options = {"keep_ratio": 0.5, "max_side": 256, "score_threshold": 0.1, **first}
    ranker = adapter.make(model="tiny", top_n=2, **options)
    rank(adapter, ranker, count=0)
    if adapter.name == "llama_index":
        again = type(ranker).from_json(ranker.to_json())
    else:
        again = type(ranker).model_validate_json(ranker.model_dump_json())
    assert again.model_dump() == ranker.model_dump() and options.items() <= again.model_dump().items()
    assert again.top_n == 2 and again._ranker() is not ranker._ranker()


@adapters
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickled])
def test_copies_rank_alike(adapter: Adapter, duplicate: Any) -> None:
    ranker = adapter.make(reranker=Recorder(), top_n=2)
    for used in (False, True):
        if used:
            rank(adapter, ranker)
        again = duplicate(ranker)
        assert again.top_n == 2
        assert rank(adapter, again) == ["d2", "d1"]
        again.top_n = 1
        assert rank(adapter, again) == ["d2"]
        assert rank(adapter, ranker) == ["d2", "d1"]


@adapters
def test_a_deep_copy_uses_its_own_reranker(adapter: Adapter) -> None:
    ranker = adapter.make(reranker=Recorder())
    rank(adapter, ranker)
    again = copy.deepcopy(ranker)
    rank(adapter, again)
    assert again.reranker is not ranker.reranker
    assert len(ranker.reranker.calls) == 1 and len(again.reranker.calls) == 2


@adapters
def test_an_error_does_not_show_a_secret(adapter: Adapter) -> None:
    with pytest.raises(ValueError) as caught:
        adapter.make(token="hidden", keep_ratio="much")
    assert "hidden" not in str(caught.value)
