"""The forward pass over stock layers: who attends to whom, and the attention that selects visual tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers import checkpoints
from ziprerank_integrations.engine import checkpoint_config
from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.training.decoder import Batch, build, evaluating, importance, states
from ziprerank_integrations.training.pointwise_model import Qwen3VLForPointwise
from ziprerank_integrations.training.tasks import load

LAYERS = 4


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def decoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    keys = {"scorer": "pointwise"}
    folder = checkpoints.make(tmp_path_factory.mktemp("model"), layers=LAYERS, ziprerank=keys)
    config = checkpoint_config.read(folder)
    return load(Qwen3VLForPointwise, config, torch.float32, request.param).eval().model.language_model


def batch(kept: Tensor | None = None, *, seed: int = 0, head: int = 5, tail: int = 4) -> Batch:
    torch.manual_seed(seed)
    levels = [tuple(torch.randn(6, 64) for _ in range(3)) for _ in range(2)]
    pages = [PageFeatures(torch.randn(6, 64), level, 2, 3) for level in levels]
    return build(torch.randn(head, 64), torch.randn(tail, 64), torch.randn(2, 64), pages, kept)


def test_positions_are_those_of_the_unpruned_page() -> None:
    whole, cut = batch(), batch(torch.tensor([[0, 5], [2, 3]]))
    assert whole.positions[:, 0, :6].tolist() == [[0, 1, 2, 3, 4, 5]] * 3
    assert whole.positions[:, 0, 6:12].tolist() == [[6] * 6, [6, 6, 6, 7, 7, 7], [6, 7, 8, 6, 7, 8]]
    # The mark that closes the image follows the larger side.
    assert whole.positions[:, 0, 12:].tolist() == [[9, 10, 11, 12, 13]] * 3
    assert cut.positions[:, 1, 5:9].tolist() == [[5, 6, 6, 9], [5, 6, 7, 9], [5, 8, 6, 9]]
    assert torch.equal(cut.hidden[1, 6:8], whole.hidden[1, [8, 9]])
    assert torch.equal(cut.deepstack[2][0], whole.deepstack[2][0, [0, 5]]) and cut.page == 4


@torch.no_grad()
@pytest.mark.parametrize("band", [(0, 4), (1, 3), (2, 4), (0, 1), (3, 4)])
def test_the_page_reaches_the_query_in_the_band_only(decoder: Any, band: tuple[int, int]) -> None:
    one, two = batch(), batch(seed=1)
    # The same text around other pages.
    other = Batch(one.hidden.clone(), one.positions, one.head, one.page, two.deepstack)
    other.hidden[:, 6:12] = two.hidden[:, 6:12]
    outputs = [list(states(decoder, sequences, LAYERS, band)) for sequences in (one, other)]
    assert len(outputs[0]) == LAYERS
    for layer, (a, b) in enumerate(zip(*outputs, strict=True)):
        assert a.shape == (2, 4, 64)
        assert torch.equal(a, b) == (layer < band[0])


@torch.no_grad()
def test_later_text_does_not_change_earlier_text(decoder: Any) -> None:
    one = batch()
    other = Batch(one.hidden.clone(), one.positions, one.head, one.page, one.deepstack)
    other.hidden[:, -1] += 1
    for band in ((0, 4), (1, 2)):
        for a, b in zip(
            *(states(decoder, sequences, LAYERS, band) for sequences in (one, other)), strict=True
        ):
            assert torch.allclose(a[:, :-1], b[:, :-1], atol=1e-6) and not torch.allclose(a[:, -1], b[:, -1])


@torch.no_grad()
def test_importance_is_the_attention_of_the_stock_layers(decoder: Any) -> None:
    sequences = batch()
    stop = sequences.head + sequences.page
    hidden, positions = sequences.hidden[:, :stop], sequences.positions[..., :stop]
    angles = decoder.rotary_emb(hidden, positions)
    mask = torch.full((1, 1, stop, stop), float("-inf")).triu(1)
    used, total = decoder.config._attn_implementation, torch.zeros(2, 6)
    try:
        decoder.config._attn_implementation = "eager"  # which returns its weights
        for index in range(3):
            layer = decoder.layers[index]
            normed = layer.input_layernorm(hidden)
            _, weights = layer.self_attn(normed, position_embeddings=angles, attention_mask=mask)
            total += weights[:, :, -1, 6:12].mean(1)
            hidden = layer(hidden, position_embeddings=angles, attention_mask=mask)
            hidden[:, 6:12] += sequences.deepstack[index]
    finally:
        decoder.config._attn_implementation = used
    assert torch.allclose(importance(decoder, sequences, 3), total, atol=1e-5)
    assert total.std() > 1e-3


def test_evaluating_restores_the_mode() -> None:
    module = torch.nn.Sequential(torch.nn.Dropout(0.5))
    with pytest.raises(RuntimeError), evaluating(module):
        assert not module[0].training
        raise RuntimeError
    assert module[0].training
