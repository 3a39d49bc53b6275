"""ZipRerankRanker to a dictionary and to YAML, and back."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from haystack import Pipeline
from haystack.core.errors import DeserializationError, SerializationError
from haystack.utils import ComponentDevice, Secret
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.adapters import Recorder
from ziprerank_integrations.haystack import ZipRerankRanker

ROOT = Path(__file__).parents[2]

# Every init parameter, with values that are not its default.
VALUES: dict[str, Any] = {
    "model": ["tiny", str(ROOT / "ziprerank_integrations" / "checkpoints" / "tiny")],
    "url": ["http://localhost:8000", "https://example.org/rank"],
    "api_key": [Secret.from_env_var("A_KEY"), Secret.from_env_var(["A", "B"], strict=False)],
    "top_k": [1, 7],
    "score_threshold": [0.0, 0.25],
    "on_error": ["last"],
    "file_path_meta_field": ["where", "image"],
    "root_path": ["/data", Path("/data/pages")],
    "allow_urls": [True],
    "text_fallback": ["error"],
    "page_base": [0, 1],
    "keep_ratio": [0.25, 0.5],
    "interaction": ["query", "contextual"],
    "window": [19, 12],
    "stride": [1, 5],
    "max_side": [256, 1024],
    "device": [ComponentDevice.from_str("cpu"), ComponentDevice.from_str("cuda:1")],
    "instruction": ["Find the page that answers the query."],
    "retriever_weight": [0.25, 0.5],
    "prior_order": ["lower"],
    "calibrate": [True],
    "permutations": [2, 20],
    "strategy": ["topdown"],
    "scorer": ["listwise", {"scorer": "pointwise", "order": "vision-first", "exit": 2}],
    "first_model": ["tiny", ROOT / "ziprerank_integrations" / "checkpoints" / "tiny"],
    "first_scorer": ["listwise", {"scorer": "pointwise", "order": "vision-first", "exit": 2}],
    "first_keep": [1, 50],
    "embedder": ["owner/embedder", ROOT / "ziprerank_integrations" / "checkpoints" / "tiny"],
    "dtype": ["float32", "bfloat16"],
    "attention": ["eager", "sdpa"],
    "compile": [True],
    "quantize": ["int8", "fp8"],
    "revision": ["main"],
    "cache_bytes": [0, 1000],
    "host_cache_bytes": [10**9],
    "page_store": ["/store", Path("/store/pages")],
    "page_store_bytes": [10**9],
    "pdf_workers": [2],
    "token": [Secret.from_env_var("HF_TOKEN"), Secret.from_env_var("OTHER", strict=False)],
    "cache_dir": ["/cache", Path("/cache/hub")],
    "max_image_pixels": [1, 10_000],
    "show_progress": [True],
}
WITH_URL = ("url", "api_key", "top_k", "score_threshold", "on_error", "file_path_meta_field", "root_path")
WITH_URL += ("allow_urls", "text_fallback", "page_base", "keep_ratio", "instruction")
WITH_URL += ("retriever_weight", "prior_order")


def test_the_property_test_covers_every_parameter() -> None:
    parameters = inspect.signature(ZipRerankRanker.__init__).parameters
    assert set(parameters) - {"self", "reranker", "image_loader"} == set(VALUES)
    for name, values in VALUES.items():
        assert parameters[name].default not in values


def parameters_of(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    values = {name: st.sampled_from(VALUES[name]) for name in names}
    return st.fixed_dictionaries({}, optional=values)


def compatible(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with those that others need, and without those that a scorer does not support."""
    page_first = VALUES["scorer"][1]
    if {"first_scorer", "first_keep"} & set(parameters):
        parameters = {"first_model": "tiny", **parameters}
    if "embedder" in parameters and "first_model" in parameters:
        parameters = {**parameters, "first_scorer": page_first}
    if "instruction" in parameters or ("embedder" in parameters and "first_model" not in parameters):
        parameters = {**parameters, "scorer": page_first}
    unsupported: tuple[str, ...] = ()
    if page_first in (parameters.get("scorer"), parameters.get("first_scorer")):
        unsupported = ("keep_ratio", "interaction", "window", "stride")
        unsupported += ("calibrate", "permutations", "strategy")
    return {name: value for name, value in parameters.items() if name not in unsupported}


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        parameters_of([name for name in VALUES if name not in ("url", "api_key")]).map(compatible),
        parameters_of(list(WITH_URL)).map(lambda chosen: {**chosen, "url": "http://a"}),
        st.sampled_from([compatible({name: value}) for name, values in VALUES.items()
                         if name not in ("url", "api_key") for value in values]),
    )
)  # fmt: skip
def test_every_parameter_survives_a_round_trip(parameters: dict[str, Any]) -> None:
    ranker = ZipRerankRanker(**parameters)
    data = ranker.to_dict()
    for name, value in parameters.items():
        plain = (
            value.to_dict() if hasattr(value, "to_dict") else str(value) if isinstance(value, Path) else value
        )
        assert data["init_parameters"][name] == plain
    json.dumps(data)
    again = ZipRerankRanker.from_dict(data)
    assert again.to_dict() == data
    assert again._parameters == ranker._parameters
    pipeline = Pipeline()
    pipeline.add_component("ranker", ranker)
    loaded = Pipeline.loads(pipeline.dumps())
    assert loaded == pipeline
    assert loaded.get_component("ranker")._parameters == ranker._parameters


def test_objects_cannot_be_serialised() -> None:
    for parameter in ({"reranker": Recorder()}, {"image_loader": lambda document: None}):
        pipeline = Pipeline()
        pipeline.add_component("ranker", ZipRerankRanker(**parameter))
        with pytest.raises(
            SerializationError, match=f"{next(iter(parameter))}= is an object that cannot be serialised"
        ):
            pipeline.dumps()
    with pytest.raises(ValueError, match="Cannot serialize token-based secret"):
        ZipRerankRanker(token=Secret.from_token("hidden")).to_dict()
    with pytest.raises((DeserializationError, TypeError)):
        ZipRerankRanker.from_dict({**ZipRerankRanker().to_dict(), "init_parameters": {"colour": "blue"}})
