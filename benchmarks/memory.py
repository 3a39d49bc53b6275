"""How much memory a model wants, counted without having it: ``python -m benchmarks.memory --preset 8b``.

The forward runs on torch's meta device, where tensors have shapes and no data, and every allocation is noted.
Attention is counted as the fused kernels do it, its input and output and no square of weights. Not in the
count: what the driver and the libraries take (about half a GB on CUDA), and the allocator's slack.
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
from ziprerank_integrations.engine.runtime import batch_size

PROMPT = 340  # tokens of a window's text


class Ledger(TorchDispatchMode):
    """Adds up the bytes of all tensors that live, and keeps the most there ever were."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._holders: Counter[int] = Counter()
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and note what it made."""
        result = func(*args, **({} if kwargs is None else kwargs))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.note(tensor)
        return result

    def note(self, tensor: Tensor) -> None:
        """Count a tensor's memory, once for all views of it, until the last of them is gone."""
        storage = tensor.untyped_storage()
        name = storage._cdata
        if not self._holders[name]:
            self._sizes[name] = storage.nbytes()
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
        self._holders[name] += 1
        weakref.finalize(tensor, self._gone, name)

    def _gone(self, name: int) -> None:
        self._holders[name] -= 1
        if not self._holders[name]:
            self.now -= self._sizes.pop(name)


def fused(query: Tensor, key: Tensor, value: Tensor, **_: Any) -> Tensor:
    """Stand in for attention: (B, L, H * D), and nothing else."""
    return torch.empty_like(query).flatten(2)


@torch.inference_mode()
def count(preset: Preset, dtype: torch.dtype, rows: int = 32, columns: int = 23) -> dict[str, int]:
    """Count what a window of 20 pages takes, in bytes.

    Args:
        preset: The geometry.
        dtype: Of the weights.
        rows: Visual tokens of a page from top to bottom; 32 x 23 is A4 at 1024 px.
        columns: Visual tokens from left to right.

    Returns:
        ``weights``; ``page``, the features of one; ``vision``, what the tower needs besides, for its largest
        batch; and by keep ratio what the language model needs besides.
    """
    meta = torch.device("meta")
    subject = build(preset, meta, dtype, "sdpa")
    checkpoint = subject.checkpoint
    found = {"weights": sum(weight.nbytes for weight in subject.stock.parameters())}
    tokens, width = rows * columns, preset.text[1]
    found["page"] = tokens * width * dtype.itemsize * (1 + len(preset.vision[4]))
    with mock.patch.object(qwen3vl, "attend", fused):
        batch = min(20, batch_size("cuda", 4 * tokens))
        with Ledger() as ledger:
            patches = torch.empty(batch, 4 * tokens, 768, device=meta)
            checkpoint.vision(patches, 2 * rows, 2 * columns)
        found["vision"] = ledger.most
        for keep in (1.0, 0.5, 0.25):
            kept = 20 * round(keep * tokens)
            with Ledger() as ledger:
                embeddings = torch.empty(kept + PROMPT, width, device=meta, dtype=dtype)
                places = torch.empty(3, kept + PROMPT, device=meta, dtype=torch.int64)
                visual = torch.empty(kept, device=meta, dtype=torch.int64)
                levels = [torch.empty(kept, width, device=meta, dtype=dtype) for _ in preset.vision[4]]
                checkpoint.language.last(embeddings, places, visual, levels)
            found[f"language, keep {keep}"] = ledger.most
    return found


def main() -> None:
    """Print the count as a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="8b")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    asked = parser.parse_args()
    found = count(PRESETS[asked.preset], getattr(torch, asked.dtype))
    sys.stdout.write("| 20 A4 pages at 1024 px | GB |\n|---|--:|\n")
    for name, size in found.items():
        sys.stdout.write(f"| {name} | {size / 1e9:.2f} |\n")


if __name__ == "__main__":
    main()
