"""Attention: the kernels agree, also after a prefix and with grouped keys."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ziprerank_integrations import errors
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


def test_auto_is_sdpa_on_a_cpu_and_flash_is_refused() -> None:
    device = torch.device("cpu")
    assert choose("auto", device, torch.float32) == "sdpa"
    assert choose("eager", device, torch.bfloat16) == "eager"
    with pytest.raises(ValueError, match="needs a CUDA device"):
        choose("flash", device, torch.bfloat16)


def test_auto_selects_sdpa_where_flash_attn_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "flash_attn.py").write_text("raise ImportError('undefined symbol: _ZN2at')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(errors, "_BROKEN", {})
    assert choose("auto", torch.device("cuda"), torch.bfloat16) == "sdpa"
    assert "undefined symbol: _ZN2at" in caplog.text
    with pytest.raises(errors.MissingDependencyError, match="undefined symbol: _ZN2at"):
        choose("flash", torch.device("cuda"), torch.bfloat16)
