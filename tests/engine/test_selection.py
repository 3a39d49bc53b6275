"""Selection by received attention: how many tokens, which, in which order."""

from __future__ import annotations

import torch

from ziprerank_integrations.engine.selection import strongest


def test_the_strongest_stay_in_reading_order_and_ties_keep_the_earlier() -> None:
    values = torch.tensor([[1.0, 3.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    assert strongest(values, 0.5).tolist() == [[1, 2], [0, 1]]
    assert strongest(values, 0.25).tolist() == [[1], [0]]
    assert strongest(values, 0.01).tolist() == [[1], [0]]
    assert strongest(values, 1.0).tolist() == [[0, 1, 2, 3]] * 2
