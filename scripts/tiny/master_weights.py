"""AdamW for bfloat16 weights, on float32 master copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class MasterWeights:
    """Float32 copies of a model's bfloat16 weights, and their optimizer."""

    def __init__(self, groups: Sequence[tuple[list[nn.Parameter], float, float]]) -> None:
        """Args:
        groups: Weights, their peak learning rate, and their weight decay.
        """
        self.weights = [weight for weights, _, _ in groups for weight in weights]
        copies = [[weight.detach().float().clone() for weight in weights] for weights, _, _ in groups]
        self.copies = [copy for group in copies for copy in group]
        self.rates = [rate for _, rate, _ in groups]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": group, "lr": rate, "weight_decay": decay}
                for group, (_, rate, decay) in zip(copies, groups, strict=True)
            ],
            betas=(0.9, 0.98),
            eps=1e-8,
            foreach=True,
        )

    @torch.no_grad()
    def step(self, share: float, clip: float = 1.0) -> float:
        """Take one step at a share of the peak rate; return the gradient's norm before clipping."""
        for weight, copy in zip(self.weights, self.copies, strict=True):
            copy.grad = None if weight.grad is None else weight.grad.float()
            weight.grad = None
        norm = torch.nn.utils.clip_grad_norm_(self.copies, clip)
        if not torch.isfinite(norm):
            return float("nan")
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * share
        self.optimizer.step()
        for weight, copy in zip(self.weights, self.copies, strict=True):
            weight.copy_(copy)
        return float(norm)

    def state(self) -> dict[str, Any]:
        """Return everything that `restore` needs."""
        return {"copies": self.copies, "optimizer": self.optimizer.state_dict()}

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Continue from an earlier `state`."""
        copies: list[Tensor] = state["copies"]
        for weight, copy, saved in zip(self.weights, self.copies, copies, strict=True):
            copy.copy_(saved)
            weight.copy_(saved)
        self.optimizer.load_state_dict(state["optimizer"])
