"""Checkpoints with the files and settings of other versions of transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import picture
from ziprerank_integrations import Page, ZipReranker
from ziprerank_integrations.engine import checkpoint_config
from ziprerank_integrations.engine.checkpoint import load, set_vision_frequencies
from ziprerank_integrations.options import EngineOptions
from ziprerank_integrations.training import tasks
from ziprerank_integrations.training.model import Qwen3VLForRanking


@pytest.fixture
def copied(tied: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tied, tmp_path / "copy"))


def test_embeddings_tied_by_the_text_config_alone(copied: Path, tied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    config.pop("tie_word_embeddings", None)
    config["text_config"]["tie_word_embeddings"] = True
    (copied / "config.json").write_text(json.dumps(config))
    assert not any("lm_head" in name for name in load_file(copied / "model.safetensors"))
    pages = [Page.from_image(picture(seed)) for seed in range(3)]
    first, second = (ZipReranker(folder).rerank("q", pages) for folder in (copied, tied))
    assert [item.logit for item in first] == [item.logit for item in second]


def test_a_chat_template_in_the_json_file_of_older_processors(copied: Path) -> None:
    template = (copied / "chat_template.jinja").read_text()
    (copied / "chat_template.jinja").unlink()
    (copied / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    assert len(ZipReranker(copied).rerank("q", [Page.from_image(picture(1))])) == 1


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        ({"size": {"shortest_edge": 9000}, "min_pixels": 6000}, 6000),
        ({"size": {"shortest_edge": None}, "min_pixels": None}, 65_536),
        ({"image_mean": None, "size": None}, 65_536),
        ({"image_mean": [0.5]}, None),
        ({"min_pixels": "many"}, None),
    ],
)
def test_image_settings_are_read_or_raise(copied: Path, settings: dict[str, Any], least: int | None) -> None:
    (copied / "preprocessor_config.json").write_text(json.dumps(settings))
    if least is not None:
        assert checkpoint_config.read(copied).min_pixels == least
        return
    with pytest.raises(ValueError, match="image processor's settings"):
        checkpoint_config.read(copied)


def test_one_of_several_shards_is_not_a_complete_download(copied: Path) -> None:
    assert checkpoint_config._complete(copied)
    weights = load_file(copied / "model.safetensors")
    save_file(weights, copied / "model-00001-of-00002.safetensors", {"format": "pt"})
    (copied / "model.safetensors").unlink()
    assert not checkpoint_config._complete(copied)


@pytest.mark.parametrize("theta", [100.0, 10_000.0])
def test_the_rotary_base_of_the_tower_is_that_of_the_config(copied: Path, theta: float) -> None:
    config = json.loads((copied / "config.json").read_text())
    config["vision_config"]["rope_parameters"] = {"rope_type": "axial", "rope_theta": theta}
    (copied / "config.json").write_text(json.dumps(config))
    read = checkpoint_config.read(copied)
    engine, training = load(read, EngineOptions(device="cpu")).vision._visual, stock(read)
    expected = theta ** (-torch.arange(4) / 4)
    for visual in (engine, training):
        assert torch.allclose(visual.rotary_pos_emb.inv_freq, expected)
        # As older versions of transformers leave it.
        visual.rotary_pos_emb.inv_freq = 10_000 ** (-torch.arange(4) / 4)
        set_vision_frequencies(visual)
        assert torch.allclose(visual.rotary_pos_emb.inv_freq, expected)


def stock(config: checkpoint_config.CheckpointConfig) -> Any:
    return tasks.load(Qwen3VLForRanking, config, torch.float32).model.visual
