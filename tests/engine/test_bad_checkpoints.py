"""Broken checkpoints: refused by their config at construction, by their files at the first load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.helpers import checkpoints
from tests.local.test_bad_input import good
from ziprerank_integrations import CheckpointError, EngineError, ZipReranker


@pytest.fixture
def copied(untied: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(untied, tmp_path / "copy"))


def edit(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def test_names_that_are_not_a_checkpoint_are_refused_at_construction(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, message in (
        (tmp_path / "empty", "no config.json"),
        (tmp_path / "missing", "neither a folder"),
        ("no-such-model", "neither a folder"),
        ("./owner/name", "neither a folder"),
        ("https://example.org/model", "neither a folder"),
    ):
        with pytest.raises(CheckpointError, match=message):
            ZipReranker(name)
    edit(copied, model_type="llama")
    with pytest.raises(CheckpointError, match="model_type='llama'"):
        ZipReranker(copied)
    (copied / "config.json").write_text("{broken")
    with pytest.raises(CheckpointError, match="cannot be read"):
        ZipReranker(copied)


@pytest.mark.parametrize("own", [{"scorer": "pairwise"}, {"max_side": 1000}, {"max_side": "big"}, ["x"], "x"])
def test_invalid_settings_in_the_config_are_refused(copied: Path, own: Any) -> None:
    edit(copied, ziprerank=own)
    with pytest.raises(CheckpointError):
        ZipReranker(copied)


def test_pickled_weights_are_refused(copied: Path) -> None:
    (copied / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no safetensors weights"):
        ZipReranker(copied)
    (copied / "pytest_model.bin").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="pickled"):
        ZipReranker(copied)


def test_a_checkpoint_without_a_tokenizer(copied: Path) -> None:
    (copied / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="tokenizer"):
        ZipReranker(copied)


def test_a_checkpoint_without_a_chat_template(copied: Path) -> None:
    (copied / "chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match="chat template"):
        ZipReranker(copied).rerank("q", good())


def test_missing_and_broken_weights(copied: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    remaining = {name: value for name, value in weights.items() if "layers.1.mlp.up_proj" not in name}
    save_file(remaining, copied / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 weights are missing .*up_proj"):
        ZipReranker(copied).rerank("q", good())
    (copied / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        ZipReranker(copied).rerank("q", good())


def test_nan_weights_raise(copied: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    name = next(name for name in weights if "layers.1.mlp.up_proj" in name)
    weights[name][0, 0] = float("nan")
    save_file(weights, copied / "model.safetensors", {"format": "pt"})
    with pytest.raises(EngineError, match="not a finite number"):
        ZipReranker(copied).rerank("q", good())


def test_a_call_after_a_failed_load_loads_again(copied: Path, untied: Path) -> None:
    reranker = ZipReranker(copied)
    (copied / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(CheckpointError):
        reranker.rerank("q", good())
    shutil.copy(untied / "model.safetensors", copied / "model.safetensors")
    assert len(reranker.rerank("q", good())) == 2


def test_random_weights_are_reported(untied: Path, tmp_path: Path) -> None:
    assert not ZipReranker(untied).random_weights
    folder = checkpoints.make(tmp_path / "random", ziprerank={"random_weights": True})
    assert ZipReranker(folder).random_weights
