"""The losses against values computed by hand, and their gradients against finite differences."""

from __future__ import annotations

import math

import pytest
import torch

from ziprerank_integrations.training import losses


def test_weighted_ranknet_by_hand() -> None:
    logits = torch.tensor([0.5, 2.0, -1.0])
    ranks = torch.tensor([1, 2, 3])
    # (1,2): better page 0.5, worse 2.0; (1,3): 0.5 against -1; (2,3): 2 against -1.
    wanted = [
        math.log1p(math.exp(2.0 - 0.5)) / 3,
        math.log1p(math.exp(-1.0 - 0.5)) / 4,
        math.log1p(math.exp(-1.0 - 2.0)) / 5,
    ]
    assert losses.weighted_ranknet(logits, ranks).item() == pytest.approx(sum(wanted) / 3, rel=1e-6)


def test_ranknet_does_not_depend_on_the_slots() -> None:
    logits, ranks = torch.tensor([0.3, -0.2, 1.0, 0.0]), torch.tensor([2, 4, 1, 3])
    turned = torch.tensor([2, 0, 3, 1])
    assert torch.allclose(
        losses.weighted_ranknet(logits, ranks), losses.weighted_ranknet(logits[turned], ranks[turned])
    )


def test_ranknet_of_one_page_is_zero_with_a_gradient() -> None:
    logits = torch.tensor([0.7], requires_grad=True)
    loss = losses.weighted_ranknet(logits, torch.tensor([1]))
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None and logits.grad.item() == 0


def test_soft_targets_put_known_answers_first() -> None:
    targets = losses.soft_targets([2, 0, 3, 1], answers=[1, 3], gamma=0.5)
    # The order becomes 3, 1, 2, 0: weights 1, 1/2, 1/4, 1/8 over 15/8.
    assert targets.tolist() == pytest.approx([1 / 15, 4 / 15, 2 / 15, 8 / 15])
    assert losses.soft_targets([1, 0], [], 0.25).tolist() == pytest.approx([0.2, 0.8])


def test_soft_ranking_by_hand() -> None:
    logits, targets = torch.tensor([1.0, 2.0]), torch.tensor([0.25, 0.75])
    total = math.log(math.exp(1) + math.exp(2))
    assert losses.soft_ranking(logits, targets).item() == pytest.approx(
        0.25 * (total - 1) + 0.75 * (total - 2)
    )


def test_soft_ranking_is_minimal_at_its_targets() -> None:
    targets = losses.soft_targets([1, 2, 0], [])
    best = losses.soft_ranking(targets.log(), targets)
    assert best.item() == pytest.approx(-(targets * targets.log()).sum().item(), rel=1e-6)
    assert all(losses.soft_ranking(torch.randn(3), targets) >= best for _ in range(50))


def test_language_is_the_mean_cross_entropy() -> None:
    logits = torch.tensor([[1.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    wanted = (math.log(math.e + 2) - 1 + math.log(math.exp(3) + 2) - 0) / 2
    assert losses.language(logits, torch.tensor([0, 2])).item() == pytest.approx(wanted, rel=1e-6)


def test_yes_no_is_the_mean_over_pages() -> None:
    logits, labels = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1.0, 0.0, 0.0])
    wanted = (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1)) + math.log1p(math.exp(0.5))) / 3
    loss = losses.yes_no(logits.bfloat16(), labels)
    assert loss.item() == pytest.approx(wanted, rel=1e-6) and loss.dtype == torch.float32


@pytest.mark.parametrize("loss", ["ranknet", "soft", "language", "yes_no"])
def test_gradients(loss: str) -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, dtype=torch.float64, requires_grad=True)
    ranks = torch.tensor([3, 1, 5, 2, 4])
    targets = losses.soft_targets([1, 3, 0, 4, 2], [4]).double()
    functions = {
        "ranknet": lambda x: losses.weighted_ranknet(x, ranks),
        "soft": lambda x: losses.soft_ranking(x, targets),
        "language": lambda x: losses.language(x[None].double(), torch.tensor([2])).double(),
        "yes_no": lambda x: losses.yes_no(x, (ranks > 2).float()).double(),
    }
    float32 = loss in ("language", "yes_no")
    eps = 1e-3 if float32 else 1e-6
    tolerance = 1e-3 if float32 else 1e-5
    assert torch.autograd.gradcheck(functions[loss], (logits,), eps=eps, atol=tolerance, rtol=tolerance)
