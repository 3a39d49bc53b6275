"""The pointwise training forward computes what the engine computes, and its gradient is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers import checkpoints
from tests.training.data import stage2_data
from ziprerank_integrations import ZipReranker
from ziprerank_integrations.engine import checkpoint_config
from ziprerank_integrations.engine.scorers.pointwise import PointwiseScorer
from ziprerank_integrations.training import records
from ziprerank_integrations.training.pairs import PairSamples
from ziprerank_integrations.training.pointwise_model import Qwen3VLForPointwise
from ziprerank_integrations.training.recipe import PointwiseRecipe
from ziprerank_integrations.training.tasks import encoder, load, task

LAYERS = 5
VISION = {"order": "vision-first"}
OWN: dict[str, dict[str, Any]] = {
    "query-first": {},
    "query-first, exit": {"exit": 2},
    "query-first, pruned": {"keep_ratio": 0.5},
    "dense": VISION,
    "exit": {**VISION, "exit": 3},
    "band": {**VISION, "band": [3, 4]},
    "exit and band": {**VISION, "exit": 4, "band": [2, 4]},
    "band of the first layer": {**VISION, "band": [1, 1]},
    "pruned": {**VISION, "keep_ratio": 0.4},
    "pruned, exit and band": {**VISION, "keep_ratio": 0.4, "exit": 4, "band": [2, 3]},
}


def make(folder: Path, **own: Any) -> Path:
    keys = {"scorer": "pointwise", "max_side": 128, **own}
    return checkpoints.make(folder, layers=LAYERS, ziprerank=keys, seed=5)


def model_and_samples(folder: Path, data: Path, attention: str = "sdpa") -> tuple[Any, PairSamples]:
    config = checkpoint_config.read(folder)
    text = encoder(config)
    model = load(Qwen3VLForPointwise, config, torch.float32, attention).eval()
    model.prepare(config, PointwiseScorer.answer_tokens(text, config))
    return model, PairSamples(records.read(data, "pointwise"), text, config, seed=1)


def engine_logits(folder: Path, samples: PairSamples, key: int) -> list[float]:
    query, pages = samples.pages(key)
    ranking = ZipReranker(folder).rerank(query, pages)
    return [item.logit or 0.0 for item in sorted(ranking, key=lambda item: item.index)]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", OWN)
def test_training_and_inference_compute_the_same_logits(tmp_path: Path, name: str, attention: str) -> None:
    folder = make(tmp_path / "model", **OWN[name])
    model, samples = model_and_samples(folder, stage2_data(tmp_path, mixed=True), attention)
    with torch.no_grad():
        logits = model(samples=[samples[0], samples[1]])["logits"].tolist()
    wanted = engine_logits(folder, samples, 0) + engine_logits(folder, samples, 1)
    assert len(logits) == 10 and max(wanted) - min(wanted) > 1e-2
    assert logits == pytest.approx(wanted, abs=1e-4)


def test_pages_pruned_by_an_embedder_have_the_engines_logits(tmp_path: Path) -> None:
    folder = make(tmp_path / "model", **OWN["pruned, exit and band"], selection="embedder")
    embedder = checkpoints.make(tmp_path / "embedder", layers=3, seed=11)
    recipe = PointwiseRecipe(
        model=str(folder), data=str(stage2_data(tmp_path, mixed=True)), output="o", embedder=str(embedder)
    )
    training = task(recipe, folder)
    model, samples = training.model(torch.float32, torch.device("cpu")).eval(), training.samples()
    out = model(samples=[samples[0]])
    out["loss"].backward()  # the embedder runs in inference mode, the training does not
    query, pages = samples.pages(0)
    ranking = ZipReranker(folder, embedder=embedder).rerank(query, pages)
    wanted = [item.logit for item in sorted(ranking, key=lambda item: item.index)]
    assert out["logits"].tolist() == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("name", ["exit and band", "pruned, exit and band"])
def test_the_gradient_of_the_loss_equals_finite_differences(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path / "model", **OWN[name])
    model, samples = model_and_samples(folder, stage2_data(tmp_path, mixed=True))
    model.double()
    batch = [samples[0], samples[1]]
    # The selection is a step function: with the indices of the start it is constant.
    kept: dict[bytes, torch.Tensor] = {}
    select = model._select
    model._select = lambda *args: kept.setdefault(args[-1].numpy().tobytes(), select(*args))
    loss = model(samples=batch)["loss"]
    loss.backward()
    generator = torch.Generator().manual_seed(0)
    layers = model.model.language_model.layers
    assert len(layers) == 4
    weights = [layers[0].self_attn.v_proj.weight, layers[1].self_attn.q_proj.weight]
    weights += [layers[2].mlp.down_proj.weight, layers[3].self_attn.k_proj.weight, model.lm_head.weight]
    for weight in weights:
        assert weight.grad is not None
        # The loss is float32: along its gradient, not only at random, it changes by more than its rounding.
        noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
        direction = weight.grad / weight.grad.norm() + noise / noise.norm()
        expected = float((weight.grad * direction).sum())
        values = []
        for step in (3e-3, -3e-3):
            with torch.no_grad():
                weight += step * direction
                values.append(float(model(samples=batch)["loss"]))
                weight -= step * direction
        assert expected == pytest.approx((values[0] - values[1]) / 6e-3, rel=1e-3)


def test_checkpointed_gradients_are_the_same(tmp_path: Path) -> None:
    folder = make(tmp_path / "model", **OWN["pruned, exit and band"])
    model, samples = model_and_samples(folder, stage2_data(tmp_path))
    gradients = []
    for checkpointed in (False, True):
        model.train()
        if checkpointed:
            # As the Trainer does with ``gradient_checkpointing: true``.
            getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
        model.zero_grad()
        model(samples=[samples[0]])["loss"].backward()
        layers = model.model.language_model.layers
        gradients.append([layer.mlp.up_proj.weight.grad.clone() for layer in layers])
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(*gradients, strict=True))


def test_16_bit_weights_are_subtracted_in_float32(tmp_path: Path) -> None:
    model, _ = model_and_samples(make(tmp_path / "model"), stage2_data(tmp_path))
    model.bfloat16()
    hidden = torch.randn(50, 64, dtype=torch.bfloat16)
    yes, no = model._answers
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = model.logits(hidden)
        normed = model.model.language_model.norm(hidden).double()
    weight = model.lm_head.weight.double()
    exact = normed @ (weight[yes] - weight[no])
    assert logits.dtype == torch.float32
    assert torch.allclose(logits.double(), exact, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21
def test_dropout_does_not_change_the_selection(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model, samples = model_and_samples(make(tmp_path / "model", **OWN["pruned"]), stage2_data(tmp_path))
    lora = peft.LoraConfig(r=4, lora_dropout=0.9, target_modules=["v_proj"], init_lora_weights=False)
    adapted = peft.get_peft_model(model, lora)
    chosen: list[torch.Tensor] = []
    real = model._select

    def recording(*args: Any) -> torch.Tensor:
        chosen.append(real(*args))
        return chosen[-1]

    model._select = recording
    for training in (False, True):
        adapted.train(training)
        adapted(samples=[samples[0]])
        assert model.model.language_model.training == training
    assert len(chosen) == 2 and torch.equal(*chosen)
