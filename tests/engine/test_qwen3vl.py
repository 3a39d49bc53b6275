"""The forward pass: padded sequences, compiled layers, torch's default device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.conftest import picture
from ziprerank_integrations import Page, Ranking, ZipReranker
from ziprerank_integrations.engine import qwen3vl
from ziprerank_integrations.engine.qwen3vl import rms_norm, rotate

PAGES = [Page.from_image(picture(seed)) for seed in range(4)]
POINTWISE = [
    {"scorer": "pointwise", "order": "query-first"},
    {"scorer": "pointwise", "order": "vision-first", "exit": 3, "band": [2, 3]},
]


def logits(ranking: Ranking) -> list[float]:
    values = {item.index: item.logit for item in ranking}
    return [value for _, value in sorted(values.items()) if value is not None]


@pytest.mark.parametrize("interaction", ["prompt", "contextual"])
@pytest.mark.parametrize("keep_ratio", [1.0, 0.5])
def test_padding_changes_nothing(
    untied: Path, interaction: str, keep_ratio: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    reranker = ZipReranker(untied, keep_ratio=keep_ratio, interaction=interaction)  # type: ignore[arg-type]
    language = reranker._engine.load().checkpoint.language
    lengths: list[int] = []
    real = qwen3vl.attend

    def attend(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **options: object
    ) -> torch.Tensor:
        lengths.append(key.shape[1])
        return real(query, key, value, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(qwen3vl, "attend", attend)
    monkeypatch.setattr("ziprerank_integrations.engine.pruning.LanguageModel", type(language))
    for query in ("a", "a longer question with more words"):
        expected = logits(reranker.rerank(query, PAGES))
        monkeypatch.setattr(language, "_bucket", 128)
        lengths.clear()
        padded = logits(reranker.rerank(query, PAGES))
        monkeypatch.setattr(language, "_bucket", 1)
        assert padded == pytest.approx(expected, abs=1e-5)
        # All layers but those that compute the last position alone see one of few lengths.
        assert sum(length % 128 == 0 for length in lengths) >= len(lengths) - 2


@pytest.mark.parametrize("scorer", POINTWISE)
def test_padding_changes_nothing_where_pages_are_scored_alone(
    pointwise: Path, scorer: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = logits(ZipReranker(pointwise, scorer=scorer).rerank("a question", PAGES))
    padded = ZipReranker(pointwise, scorer=scorer)
    monkeypatch.setattr(padded._engine.load().checkpoint.language, "_bucket", 128)
    assert logits(padded.rerank("a question", PAGES)) == pytest.approx(expected, abs=1e-5)


@pytest.fixture
def default_device() -> Iterator[None]:
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


@pytest.mark.parametrize("options", [{"keep_ratio": 0.5}, {"keep_ratio": 0.5, "interaction": "contextual"}])
def test_the_default_device_of_torch_does_not_matter(
    untied: Path, options: dict[str, object], default_device: None
) -> None:
    with_default = logits(ZipReranker(untied, **options).rerank("q", PAGES))  # type: ignore[arg-type]
    torch.set_default_device(None)
    assert with_default == logits(ZipReranker(untied, **options).rerank("q", PAGES))  # type: ignore[arg-type]


@pytest.mark.parametrize("scorer", POINTWISE)
def test_nor_does_it_where_pages_are_scored_alone(
    pointwise: Path, scorer: dict[str, object], default_device: None
) -> None:
    with_default = logits(ZipReranker(pointwise, scorer=scorer).rerank("q", PAGES))
    torch.set_default_device(None)
    assert with_default == logits(ZipReranker(pointwise, scorer=scorer).rerank("q", PAGES))


@pytest.mark.slow
def test_compiled_layers_give_the_same_logits(untied: Path) -> None:
    expected = logits(ZipReranker(untied, keep_ratio=0.5).rerank("q", PAGES))
    compiled = ZipReranker(untied, keep_ratio=0.5, compile=True)
    assert logits(compiled.rerank("q", PAGES)) == pytest.approx(expected, abs=1e-4)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert graphs > 0
    compiled.rerank("a longer question, of another length", PAGES)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs  # nothing is compiled again


def test_norm_and_rotation_are_those_of_transformers() -> None:
    from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextRMSNorm, rotate_half

    norm = Qwen3VLTextRMSNorm(16)
    norm.weight.data.normal_()
    x, cos, sin = torch.randn(2, 5, 3, 16), torch.randn(2, 5, 1, 16), torch.randn(2, 5, 1, 16)
    assert torch.allclose(rms_norm(norm, x), norm(x), atol=1e-6)
    assert torch.allclose(rotate(x, cos, sin), x * cos + rotate_half(x) * sin, atol=1e-6)
