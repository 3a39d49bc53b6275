"""Quantised models: int8 on a CPU (``pip install torchao; pytest -m torchao``), fp8 where it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import picture
from ziprerank_integrations import MissingDependencyError, Page, UnsupportedOptionError, ZipReranker
from ziprerank_integrations.engine import quantization
from ziprerank_integrations.engine.page_store import identity
from ziprerank_integrations.engine.quantization import check_quantization


def test_fp8_is_refused_where_a_device_has_no_such_products(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedOptionError, match=r"compute capability 8\.9 or higher, not cpu"):
        check_quantization("fp8", torch.device("cpu"), torch.bfloat16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    with pytest.raises(UnsupportedOptionError, match=r"compute capability 8\.9"):
        check_quantization("fp8", torch.device("cuda"), torch.bfloat16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    with pytest.raises(UnsupportedOptionError, match=r"needs dtype=.bfloat16., not torch\.float16"):
        check_quantization("fp8", torch.device("cuda"), torch.float16)


def test_an_option_that_a_device_lacks_is_an_error_of_the_call(untied: Path) -> None:
    with pytest.raises(UnsupportedOptionError, match="quantize='fp8'"):
        ZipReranker(untied, quantize="fp8", device="cpu").load()
    for unknown in ("int3", "int4"):  # int4: see docs/hardware.md
        with pytest.raises(ValueError, match=f"quantize='{unknown}' is not"):
            ZipReranker(untied, quantize=unknown)  # type: ignore[arg-type]


def test_torchao_is_needed(untied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def require(module: str, extra: str, *, purpose: str) -> None:
        raise MissingDependencyError(module, extra, purpose)

    monkeypatch.setattr(quantization, "require", require)
    with pytest.raises(MissingDependencyError, match="torchao"):
        ZipReranker(untied, quantize="int8").load()


def test_page_states_of_another_quantisation_are_not_read(untied: Path) -> None:
    names = {identity(untied, torch.float32, method) for method in (None, "int8", "fp8")}
    assert len(names) == 3


@pytest.mark.torchao
def test_int8_weights_move_the_logits_little(untied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "_WIDTH", 32)  # this model's layers are narrow
    pages = [Page.from_image(picture(seed)) for seed in range(4)]

    def logits(**options: str) -> torch.Tensor:
        with ZipReranker(untied, **options) as reranker:  # type: ignore[arg-type]
            ranking = reranker.rerank("a question", pages)
            weight = reranker._engine.load().checkpoint.language._decoder.layers[0].mlp.up_proj.weight
            assert ("int8" in type(weight.data).__name__.lower()) == bool(options)
        return torch.tensor([item.logit for item in sorted(ranking, key=lambda item: item.index)])

    exact, quantised = logits(), logits(quantize="int8")
    difference = (quantised - exact).norm() / exact.norm()
    assert 0 < difference < 0.05
