"""The categories of the profile."""

from __future__ import annotations

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.profile import category


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("aten::mm", "matrix"),
        ("aten::_scaled_mm", "matrix"),
        ("aten::_flash_attention_forward", "matrix"),
        ("aten::_cudnn_attention_forward", "matrix"),
        ("flash_attn::_flash_attn_forward", "matrix"),
        ("aten::mul_", "elementwise"),
        ("aten::_fused_rms_norm", "elementwise"),
        ("aten::copy_", None),
        ("aten::embedding", None),
    ],
)
def test_category(name: str, expected: str | None) -> None:
    assert category(name) == expected


def test_attention_and_products_are_matrix_operations() -> None:
    q = torch.rand(1, 2, 64, 16)
    with profile(activities=[ProfilerActivity.CPU]) as record:
        torch.nn.functional.silu(torch.nn.functional.scaled_dot_product_attention(q, q, q) @ q[0, 0].T)
    times: dict[str | None, float] = {}
    for event in record.key_averages():
        found = category(event.key)
        times[found] = times.get(found, 0.0) + event.self_cpu_time_total
    assert times["matrix"] > 0 and times["elementwise"] > 0
