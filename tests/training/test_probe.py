"""The probe against a loop over pages and layers, and the choice of exit and band."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from tests.helpers import checkpoints
from tests.helpers.pointwise_loop import Loop
from tests.training.data import stage2_data
from ziprerank_integrations.engine.checkpoint_config import read
from ziprerank_integrations.training import records
from ziprerank_integrations.training.pairs import PairSamples
from ziprerank_integrations.training.probe import Probe, probe, roc_auc, suggest, wins
from ziprerank_integrations.training.tasks import encoder

LAYERS = 3
OWN = {"scorer": "pointwise", "order": "vision-first", "exit": 2, "band": [2, 2], "max_side": 128}


class Hidden(Loop):
    """The loop, with the last text's hidden states of each layer."""

    def logit_and_states(self, query: str, image: Image.Image) -> tuple[float, torch.Tensor]:
        outputs: list[torch.Tensor] = []
        hooks = [
            layer.register_forward_hook(lambda *args: outputs.append(args[2][0])) for layer in self.layers
        ]
        try:
            logit = self.logit(query, image)
        finally:
            for hook in hooks:
                hook.remove()
        closing = self.tokenizer.convert_tokens_to_ids("<|vision_end|>")
        ids = self.ids(query, len(self.attention))
        return logit, torch.stack(outputs)[:, ids.index(closing) + 1 :]


def test_the_curves_equal_a_loop(tmp_path: Path) -> None:
    folder = checkpoints.make(tmp_path / "model", layers=LAYERS, ziprerank=OWN, seed=3)
    data = stage2_data(tmp_path, mixed=True)
    result = probe(str(folder), data, device="cpu", seed=2)
    config = read(folder)
    samples = PairSamples(records.read(data, "pointwise"), encoder(config), config, seed=2)
    orders, scores, cosines = [], [], []
    loops = [Hidden(folder, {"order": "vision-first", "exit": layer}) for layer in range(1, LAYERS + 1)]
    for key in range(len(samples)):
        query, pages = samples.pages(key)
        images = [Image.open(page.path or "") for page in pages]
        logits = [[loop.logit(query, image) for loop in loops] for image in images]
        hidden = [loops[-1].logit_and_states(query, image)[1] for image in images]
        orders += [[float(a > b) for a, b in zip(logits[0], other, strict=True)] for other in logits[1:]]
        scores += [(label, values) for label, values in zip([1, 0, 0, 0, 0], logits, strict=True)]
        cosines += [F.cosine_similarity(hidden[0], other, dim=-1).mean(1).tolist() for other in hidden[1:]]
    assert result.questions == len(samples) == 4 and result.pages == 20
    assert result.accuracy == pytest.approx(torch.tensor(orders).mean(0).tolist(), abs=1e-6)
    assert result.cosine == pytest.approx(torch.tensor(cosines).mean(0).tolist(), abs=1e-4)
    assert result.cosine[-1] < 0.999
    for layer in range(LAYERS):
        positives, negatives = (
            [values[layer] for label, values in scores if label == wanted] for wanted in (1, 0)
        )
        share = [float(a > b) for a, b in itertools.product(positives, negatives)]
        assert result.auc[layer] == pytest.approx(sum(share) / len(share), abs=1e-6)
    assert (result.exit, result.band) == suggest(result.accuracy, result.cosine)


def test_instruction_and_size_are_the_checkpoints_own_unless_given(tmp_path: Path) -> None:
    data = stage2_data(tmp_path)

    def measured(name: str, **values: Any) -> Probe:
        keys = {"scorer": "pointwise", "max_side": 64, **values}
        folder = checkpoints.make(tmp_path / name, ziprerank=keys)
        return probe(str(folder), data, device="cpu")

    own, other = measured("a", instruction="Find it."), measured("b")
    assert own.cosine != other.cosine
    options: dict[str, Any] = {"instruction": "Find it.", "max_side": 64, "device": "cpu"}
    assert probe(str(tmp_path / "b"), data, **options).cosine == own.cosine
    assert probe(str(tmp_path / "b"), data, max_side=96, device="cpu").cosine != other.cosine


def test_exit_and_band_follow_the_rule() -> None:
    accuracy = [0.5, 0.55, 0.7, 0.945, 0.92, 0.95, 0.93]
    cosine = [1.0, 0.99, 0.95, 0.8, 0.7, 0.5, 0.5]
    # 0.945 is within 0.01 of 0.95; up to layer 4 the cosine falls by 0.2, of which layer 3 has a tenth.
    assert suggest(accuracy, cosine) == (4, (3, 4))
    assert suggest([0.5, 0.9], [1.0, 1.0]) == (2, (1, 2))
    assert suggest([0.9, 0.5], [0.5, 0.4]) == (1, (1, 1))


def test_a_tie_is_half_a_win() -> None:
    negatives = torch.tensor([[1.0, 1.0], [3.0, 2.0]])
    assert wins(torch.tensor([1.0, 2.0]), negatives).tolist() == [[0.5, 1.0], [0.0, 0.5]]


def test_roc_auc_counts_ties_half() -> None:
    assert roc_auc(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 0.0, 2.0])) == pytest.approx(4.5 / 6)
