"""The memory of a model, computed without its weights: ``python -m benchmarks.memory --preset 8b``.

The forward runs on torch's meta device, where tensors have shapes and no data, and every allocation is
counted. Attention is counted as a fused kernel: its input and output, no matrix of weights. Not counted: the
driver and the libraries (about half a GB on CUDA), and the allocator's overhead.
"""

from __future__ import annotations

import argparse
import sys
import weakref
from collections import Counter
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.presets import PRESETS, Preset, build
from ziprerank_integrations.engine import qwen3vl
from ziprerank_integrations.engine.encoder import batch_size

PROMPT_TOKENS = 340  # the text of a window


class AllocationTracker(TorchDispatchMode):
    """Sums the bytes of all live tensors, and records the peak."""

    def __init__(self) -> None:
        super().__init__()
        self.current = self.peak = 0
        self._references: Counter[int] = Counter()
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and track its results."""
        result = func(*args, **({} if kwargs is None else kwargs))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.track(tensor)
        return result

    def track(self, tensor: Tensor) -> None:
        """Count a tensor's storage, once for all of its views, until the last of them is released."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if not self._references[key]:
            self._sizes[key] = storage.nbytes()
            self.current += storage.nbytes()
            self.peak = max(self.peak, self.current)
        self._references[key] += 1
        weakref.finalize(tensor, self._release, key)

    def _release(self, key: int) -> None:
        self._references[key] -= 1
        if not self._references[key]:
            self.current -= self._sizes.pop(key)


def fused_attention(query: Tensor, key: Tensor, value: Tensor, **_: Any) -> Tensor:
    """Replace attention: allocate its output (B, L, H * D) and nothing else."""
    return torch.empty_like(query).flatten(2)


@torch.inference_mode()
def measure(preset: Preset, dtype: torch.dtype, rows: int = 32, columns: int = 23) -> dict[str, int]:
    """Return the memory of a window of 20 pages, in bytes.

    Args:
        preset: The dimensions.
        dtype: Of the weights.
        rows: Visual tokens of a page from top to bottom; 32 x 23 is A4 at 1024 px.
        columns: Visual tokens from left to right.

    Returns:
        ``weights``; ``page``, the features of one page; ``vision``, the tower's activations for its largest
        batch; and by keep ratio the language model's activations.
    """
    meta = torch.device("meta")
    model = build(preset, meta, dtype, "sdpa")
    checkpoint = model.checkpoint
    sizes = {"weights": sum(weight.nbytes for weight in model.stock.parameters())}
    tokens, width = rows * columns, preset.text[1]
    sizes["page"] = tokens * width * dtype.itemsize * (1 + len(preset.vision[4]))
    with mock.patch.object(qwen3vl, "attend", fused_attention):
        batch = min(20, batch_size("cuda", 4 * tokens))
        with AllocationTracker() as tracker:
            patches = torch.empty(batch, 4 * tokens, 768, device=meta)
            checkpoint.vision(patches, 2 * rows, 2 * columns)
        sizes["vision"] = tracker.peak
        for keep in (1.0, 0.5, 0.25):
            kept = 20 * round(keep * tokens)
            with AllocationTracker() as tracker:
                embeddings = torch.empty(kept + PROMPT_TOKENS, width, device=meta, dtype=dtype)
                positions = torch.empty(3, kept + PROMPT_TOKENS, device=meta, dtype=torch.int64)
                visual = torch.empty(kept, device=meta, dtype=torch.int64)
                levels = [torch.empty(kept, width, device=meta, dtype=dtype) for _ in preset.vision[4]]
                checkpoint.language.last(embeddings, positions, visual, levels)
            sizes[f"language, keep {keep}"] = tracker.peak
    return sizes


def main() -> None:
    """Print the memory as a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="8b")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    args = parser.parse_args()
    sizes = measure(PRESETS[args.preset], getattr(torch, args.dtype))
    sys.stdout.write("| 20 A4 pages at 1024 px | GB |\n|---|--:|\n")
    for name, size in sizes.items():
        sys.stdout.write(f"| {name} | {size / 1e9:.2f} |\n")


if __name__ == "__main__":
    main()
