"""Attention: the kernels agree, also after a prefix and with grouped keys."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from ziprerank_integrations import errors
from ziprerank_integrations.engine import attention
from ziprerank_integrations.engine.attention import attend, choose


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("length", "total"), [(5, 5), (1, 7), (3, 8), (3, 40)])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_sdpa_equals_eager(length: int, total: int, groups: int, causal: bool) -> None:
    generator = torch.Generator().manual_seed(length * total)
    query = torch.randn(2, length, 4, 8, generator=generator)
    key, value = (torch.randn(2, total, groups, 8, generator=generator) for _ in range(2))
    outputs = [attend(query, key, value, causal=causal, kernel=kernel) for kernel in ("sdpa", "eager")]
    assert outputs[0].shape == (2, length, 32)
    assert torch.allclose(*outputs, atol=1e-6)


def test_the_causal_mask_is_aligned_with_the_last_key() -> None:
    query, key = torch.zeros(1, 2, 1, 4), torch.zeros(1, 3, 1, 4)
    value = torch.arange(3.0).view(1, 3, 1, 1).expand(1, 3, 1, 4)
    output = attend(query, key, value, causal=True, kernel="sdpa")
    assert output[0, :, 0].tolist() == pytest.approx([0.5, 1.0])  # means of keys 0..1 and of keys 0..2


@pytest.mark.parametrize("batch", [1, 3])
def test_one_query_is_two_matrix_products(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = torch.randn(batch, 1, 8, 16), *torch.randn(2, batch, 50, 2, 16)
    expected = F.scaled_dot_product_attention(
        query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), enable_gqa=True
    )
    monkeypatch.setattr(F, "scaled_dot_product_attention", None)  # a fused kernel would be planned by length
    for floats in (2**24, 1):  # all pages at once, and one by one
        monkeypatch.setattr(attention, "_FLOATS", floats)
        output = attend(query, key, value, causal=True, kernel="sdpa")
        assert torch.allclose(output, expected.transpose(1, 2).flatten(2), atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("prefix", [0, 9])
def test_queries_in_chunks_equal_all_at_once(causal: bool, prefix: int) -> None:
    query = torch.randn(1, 4, 37, 8)
    key, value = torch.randn(2, 1, 2, 37 + prefix, 8)
    chunks = attention._in_chunks(query, key, value, causal, True, 10)
    whole = attend(*(x.transpose(1, 2) for x in (query, key, value)), causal=causal, kernel="eager")
    assert torch.allclose(chunks.transpose(1, 2).flatten(2), whole, atol=1e-6)


def test_auto_is_sdpa_and_flash_needs_a_device_that_supports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for device in ("cpu", "cuda", "mps"):
        assert choose("auto", torch.device(device), torch.bfloat16) == "sdpa"
    assert choose("eager", torch.device("cpu"), torch.bfloat16) == "eager"
    with pytest.raises(ValueError, match="needs a CUDA device"):
        choose("flash", torch.device("cpu"), torch.bfloat16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    with pytest.raises(ValueError, match=r"compute capability 8\.0"):
        choose("flash", torch.device("cuda"), torch.bfloat16)


def test_flash_that_cannot_be_imported_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    (tmp_path / "flash_attn.py").write_text("raise ImportError('undefined symbol: _ZN2at')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(errors, "_BROKEN", {})
    assert choose("auto", torch.device("cuda"), torch.bfloat16) == "sdpa"
    with pytest.raises(errors.MissingDependencyError, match="undefined symbol: _ZN2at"):
        choose("flash", torch.device("cuda"), torch.bfloat16)
