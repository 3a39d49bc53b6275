"""The device: its rates, and the attention kernels that torch chooses."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from benchmarks.acceptance.report import Row
from benchmarks.acceptance.setup import Setup
from benchmarks.timing import synchronize

# torch's numbers of the kernels of scaled_dot_product_attention.
KERNELS = {0: "math", 1: "flash", 2: "efficient", 3: "cudnn"}


def rates(setup: Setup) -> list[Row]:
    """Measure the rates of matrix products and of copies."""
    device, dtype = setup.device, setup.dtype
    _, width, _, _, _, mlp, _ = setup.preset.text
    _, narrow, _, inner, _ = setup.preset.vision
    rows = [Row("matrix products, square", setup.rate / 1e12, "TFLOP/s")]
    tokens = 15_104 if setup.goals else 3_968
    for name, m, k, n in (("language model", tokens, width, mlp), ("vision tower", tokens, narrow, inner)):
        a, b = torch.randn(m, k, device=device, dtype=dtype), torch.randn(n, k, device=device, dtype=dtype)
        ms = setup.time(lambda a=a, b=b: [F.linear(a, b) for _ in range(10)])  # type: ignore[misc]
        rows.append(
            Row(f"matrix products, {name} ({m:,} x {k:,} x {n:,})", 20 * m * k * n / ms / 1e9, "TFLOP/s")
        )
    source = torch.empty(2**30 if setup.goals else 2**26, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    ms = setup.time(lambda: [target.copy_(source) for _ in range(10)])
    synchronize(device)
    rows.append(Row("copy, bytes read and written", 20 * source.nbytes / ms / 1e9, "TB/s"))
    return rows


def kernels(setup: Setup) -> list[Row]:
    """Report which attention kernel torch chooses; ``math`` would allocate the square."""
    device, dtype = setup.device, setup.dtype
    _, _, heads, groups, head, _, _ = setup.preset.text
    _, width, vision_heads, _, _ = setup.preset.vision
    rows = []
    for name, batch, length, h, g, d, causal in (
        ("language model", 1, 15_104, heads, groups, head, True),
        ("language model, pruned", 1, 4_096, heads, groups, head, True),
        ("vision tower", 5, 2_944, vision_heads, vision_heads, width // vision_heads, False),
    ):
        q = torch.empty(batch, h, length, d, device=device, dtype=dtype)
        k = torch.empty(batch, g, length, d, device=device, dtype=dtype)
        choice = torch._fused_sdp_choice(q, k, k, is_causal=causal, enable_gqa=g != h)
        rows.append(Row(f"kernel of the {name}: {KERNELS.get(choice, choice)}", choice, "", 1, at_least=True))
    return rows
