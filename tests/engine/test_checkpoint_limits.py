"""Configs of untrusted checkpoints: absurd sizes, other folders, deep nesting and code are refused."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from tests.local.test_bad_input import good
from ziprerank_integrations import CheckpointError, ZipReranker
from ziprerank_integrations.engine import checkpoint_config


@pytest.fixture
def copied(untied: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(untied, tmp_path / "copy"))


def edit(folder: Path, name: str = "config.json", **changes: Any) -> None:
    """Change keys of a JSON file; ``text_config`` and ``vision_config`` are merged."""
    config = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
    for key, value in changes.items():
        config[key] = {**config[key], **value} if key.endswith("_config") else value
    (folder / name).write_text(json.dumps(config))


ABSURD: dict[str, dict[str, Any]] = {
    "layers": {"text_config": {"num_hidden_layers": 10**6}},
    "vision layers": {"vision_config": {"depth": 10**6}},
    "width": {"text_config": {"hidden_size": 10**9}},
    "vocabulary": {"text_config": {"vocab_size": 10**12}},
    "patch": {"vision_config": {"patch_size": 10**6}},
    "negative": {"text_config": {"num_hidden_layers": -1}},
    "no patch": {"vision_config": {"patch_size": 0}},
    "text": {"text_config": {"hidden_size": "64"}},
    "float": {"text_config": {"num_hidden_layers": 1e400}},
    "boolean": {"vision_config": {"depth": True}},
    "list": {"vision_config": {"depth": [1]}},
    "deepstack": {"vision_config": {"deepstack_visual_indexes": [0] * 5000}},
    "scorer": {"ziprerank": {"scorer": ["listwise"]}},
    "max_side": {"ziprerank": {"scorer": "listwise", "max_side": 1e400}},
}


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_sizes_are_refused_at_construction(copied: Path, name: str) -> None:
    edit(copied, **ABSURD[name])
    started = time.process_time()
    with pytest.raises(CheckpointError, match=r"config\.json"):
        ZipReranker(copied)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "changes",
    [
        {"text_config": {"num_hidden_layers": 900, "hidden_size": 4096}},
        {"text_config": {"vocab_size": 2**24}},
        {"text_config": {"intermediate_size": 2**20}},
        {"vision_config": {"num_position_embeddings": 2**20}},
        {"vision_config": {"hidden_size": 2**16}},
    ],
)
def test_a_model_larger_than_its_weights_is_not_built(copied: Path, changes: dict[str, Any]) -> None:
    edit(copied, **changes)
    started = time.process_time()
    with pytest.raises(
        CheckpointError, match=r"describes [\d,]+ parameters, but the weights have [\d,]+ bytes"
    ):
        ZipReranker(copied).rerank("q", good())
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_pixels": 10**12}, "min_pixels"),
        ({"min_pixels": -1}, "min_pixels"),
        ({"size": {"shortest_edge": 10**12, "longest_edge": 10**12}}, "min_pixels"),
        ({"max_pixels": 10**12}, "max_pixels"),
        ({"max_pixels": 100}, "visual token"),
        ({"min_pixels": 1e400}, "infinity"),
        ({"image_std": 0}, "image_std is 0"),
        ({"image_mean": [1e400, 0, 0]}, "finite"),
    ],
)
def test_absurd_settings_of_the_image_processor(copied: Path, settings: dict[str, Any], message: str) -> None:
    (copied / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=rf"the image processor's settings cannot be read: .*{message}"):
        ZipReranker(copied)


@pytest.mark.parametrize(
    "name", ["config.json", "preprocessor_config.json", "model.safetensors.index.json", "modules.json"]
)
def test_deeply_nested_json_is_refused(copied: Path, name: str) -> None:
    (copied / name).write_text('{"a":' * 100_000)
    with pytest.raises(CheckpointError, match=name):
        ZipReranker(copied)


def test_a_deeply_nested_scorer_option(copied: Path) -> None:
    with pytest.raises(CheckpointError, match="option scorer is not JSON"):
        checkpoint_config.read(copied, '{"a":' * 100_000)


def test_a_huge_json_file_is_not_read(copied: Path) -> None:
    with (copied / "config.json").open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(CheckpointError, match="larger than 67,108,864 bytes"):
        ZipReranker(copied)


@pytest.mark.parametrize(
    "shard",
    ["../other/model.safetensors", "/etc/passwd", "sub/model.safetensors", "weights.bin", "..", "", 5],
)
def test_a_shard_outside_the_folder_is_refused(copied: Path, shard: Any) -> None:
    (copied / "model.safetensors").rename(copied / "a.safetensors")
    edit(copied, "model.safetensors.index.json", weight_map={"x": "a.safetensors", "y": shard}, metadata={})
    with pytest.raises(CheckpointError, match="not a safetensors file of its folder"):
        ZipReranker(copied)


def test_shards_of_the_folder_are_loaded(copied: Path, untied: Path) -> None:
    from safetensors.torch import load_file

    weights = load_file(copied / "model.safetensors")
    (copied / "model.safetensors").unlink()
    names = sorted(weights)
    shards = {name: f"model-{number % 2 + 1:05}-of-00002.safetensors" for number, name in enumerate(names)}
    for shard in set(shards.values()):
        save_file(
            {name: weights[name] for name in names if shards[name] == shard}, copied / shard, {"format": "pt"}
        )
    edit(copied, "model.safetensors.index.json", weight_map=shards, metadata={})
    scores = [[item.score for item in ZipReranker(folder).rerank("q", good())] for folder in (copied, untied)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_other_weights_are_not_loaded(copied: Path) -> None:
    edit(copied, transformers_weights="../other.safetensors")
    assert len(ZipReranker(copied).rerank("q", good())) == 2
    (copied / "adapter_config.json").write_text('{"base_model_name_or_path": "/other"}')
    with pytest.raises(CheckpointError, match="merge the adapter"):
        ZipReranker(copied)


@pytest.mark.parametrize("path", ["../other", "/etc", "a/../../b", 5])
def test_a_module_outside_the_folder_is_refused(copied: Path, path: Any) -> None:
    (copied / "modules.json").write_text(json.dumps([{"type": "x.LogitScore", "path": path}]))
    with pytest.raises(CheckpointError, match=r"modules\.json .* not a folder inside the checkpoint"):
        ZipReranker(copied)


@pytest.mark.parametrize("kernel", ["flash_attention_2", "kernels-community/other", "no-such-kernel", 5])
@pytest.mark.parametrize("section", [None, "text_config", "vision_config"])
def test_the_attention_of_a_config_is_not_used(copied: Path, kernel: Any, section: str | None) -> None:
    own = {"_attn_implementation": kernel, "attn_implementation": kernel}
    own["_attn_implementation_internal"] = kernel
    edit(copied, **(own if section is None else {section: own}))
    assert len(ZipReranker(copied).rerank("q", good())) == 2
