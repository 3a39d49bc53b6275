"""Options: one list of names and defaults, checked at construction."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from ziprerank_integrations import ZipReranker
from ziprerank_integrations.documents.adapter_settings import AdapterSettings
from ziprerank_integrations.haystack import ZipRerankRanker
from ziprerank_integrations.options import CALL_OPTIONS, ENGINE_OPTIONS, CallOptions, EngineOptions

DEFAULTS: dict[str, Any] = {**vars(EngineOptions()), **vars(CallOptions())}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"keep_ratio": 0}, r"keep_ratio=0 is outside \(0, 1\]"),
        ({"keep_ratio": 0.0}, r"keep_ratio=0.0 is outside \(0, 1\]"),
        ({"keep_ratio": 1.1}, r"keep_ratio=1.1 is outside \(0, 1\]"),
        ({"keep_ratio": -0.5}, r"\(0, 1\]"),
        ({"keep_ratio": float("nan")}, "keep_ratio=nan"),
        ({"keep_ratio": "0.5"}, "keep_ratio='0.5'"),
        ({"keep_ratio": True}, "keep_ratio=True"),
        ({"window": 1}, r"window=1 is outside \[2, 20\]"),
        ({"window": 21}, r"window=21 is outside \[2, 20\]"),
        ({"window": 10.0}, "window=10.0 is not an integer"),
        ({"stride": 0}, r"stride=0 is outside \[1, window\)"),
        ({"stride": 20}, r"stride=20 is outside \[1, window\)"),
        ({"window": 5, "stride": 5}, r"stride=5 is outside \[1, window\), where window=5"),
        ({"max_side": 0}, "max_side=0 is not a positive multiple of 32"),
        ({"max_side": 1000}, "max_side=1000 is not a positive multiple of 32"),
        ({"max_side": -32}, "max_side=-32"),
        ({"interaction": "none"}, "interaction='none' is not one of 'prompt', 'query', 'contextual'"),
        ({"on_error": "skip"}, "on_error='skip' is not one of 'raise', 'last'"),
        ({"attention": "fast"}, "attention='fast'"),
        ({"dtype": "int8"}, "dtype='int8'"),
        ({"device": "gpu"}, "device='gpu'"),
        ({"cache_bytes": -1}, "cache_bytes=-1 is outside"),
        ({"max_image_pixels": 0}, "max_image_pixels=0"),
        ({"show_progress": 1}, "show_progress=1"),
        ({"model": " "}, "model is empty"),
    ],
)
def test_options_out_of_range_are_refused_at_construction(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ZipReranker(**{"model": "tiny", **options})


def test_unknown_options_are_refused() -> None:
    with pytest.raises(TypeError, match="batch_size"):
        ZipReranker("tiny", batch_size=4)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'device'"):
        ZipReranker("tiny").with_options(device="cpu")
    with pytest.raises(ValueError, match="keep_ratio"):
        ZipReranker("tiny").with_options(keep_ratio=2)
    with pytest.raises(TypeError):
        ZipReranker("tiny", 0.5)  # type: ignore[misc]


@pytest.mark.parametrize("name", ["model", *ENGINE_OPTIONS, *CALL_OPTIONS])
def test_every_option_has_one_default_everywhere(name: str) -> None:
    default = DEFAULTS[name]
    for function in (ZipReranker.__init__, ZipRerankRanker.__init__):
        assert inspect.signature(function).parameters[name].default == default
    assert AdapterSettings.model_fields[name].default == default


def test_equal_configurations_are_equal(tmp_path: Path) -> None:
    import torch

    options: dict[str, Any] = {"model": tmp_path, "device": torch.device("cpu"), "dtype": torch.float32}
    text = EngineOptions(model=str(tmp_path), device="cpu", dtype="float32", cache_dir=str(tmp_path))
    assert EngineOptions(**options, cache_dir=tmp_path) == text  # type: ignore[arg-type]
    assert hash(EngineOptions(**options, cache_dir=tmp_path)) == hash(text)  # type: ignore[arg-type]
