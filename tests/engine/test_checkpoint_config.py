"""A model's name → its folder and config; the download of a hub model."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from tests.conftest import picture
from ziprerank_integrations import CheckpointError, Page, ZipReranker
from ziprerank_integrations.engine import checkpoint_config


def test_a_name_is_the_bundled_model_a_hub_id_or_an_error() -> None:
    assert (
        checkpoint_config.resolve("tiny") == checkpoint_config._BUNDLED / "tiny"
        and (checkpoint_config._BUNDLED / "tiny").is_dir()
    )
    assert checkpoint_config.resolve("mtri-admin/ZipRerank") is None
    with pytest.raises(CheckpointError, match="'tiny'"):
        checkpoint_config.resolve("bert-base-uncased")


def test_a_folder_wins_over_a_hub_id(untied: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(untied, tmp_path / "mtri-admin" / "ZipRerank")
    monkeypatch.chdir(tmp_path)
    assert checkpoint_config.resolve("mtri-admin/ZipRerank") == Path("mtri-admin/ZipRerank")


def test_config_of_a_checkpoint(untied: Path) -> None:
    config = checkpoint_config.read(untied)
    assert (config.scorer, config.max_side, config.random_weights) == ("listwise", 512, False)
    assert (config.patch, config.merge, config.factor) == (16, 2, 32)


@pytest.mark.parametrize(
    ("name", "settings", "limits"),
    [
        (
            "preprocessor_config.json",
            {"size": {"shortest_edge": 5000, "longest_edge": 90_000}},
            (5000, 90_000),
        ),
        ("preprocessor_config.json", {"min_pixels": 6000, "max_pixels": 80_000}, (6000, 80_000)),
        (
            "processor_config.json",
            {"image_processor": {"size": {"shortest_edge": 7000, "longest_edge": 70_000}}},
            (7000, 70_000),
        ),
        ("processor_config.json", {}, (65_536, 16_777_216)),
    ],
)
def test_image_settings_are_read_from_either_file(
    untied: Path, tmp_path: Path, name: str, settings: dict[str, Any], limits: tuple[int, int]
) -> None:
    copied = Path(shutil.copytree(untied, tmp_path / "copy"))
    (copied / "preprocessor_config.json").unlink()
    (copied / name).write_text(json.dumps(settings))
    config = checkpoint_config.read(copied)
    assert (config.min_pixels, config.max_pixels) == limits


class Hub:
    """A fake of the hub: its files, and those already on disk."""

    def __init__(self, source: Path, folder: Path, have: tuple[str, ...] = ()) -> None:
        self.source, self.folder = source, folder
        self.calls: list[dict[str, Any]] = []
        if have:
            folder.mkdir()
        for name in have:
            shutil.copy(source / name, folder / name)

    def snapshot_download(self, model: str, **options: Any) -> str:
        self.calls.append({"model": model, **options})
        if options.get("local_files_only"):
            if not self.folder.exists():
                raise LocalEntryNotFoundError("not on disk")
            return str(self.folder)
        shutil.copytree(self.source, self.folder, dirs_exist_ok=True)
        return str(self.folder)

    def model_info(self, model: str, **options: Any) -> Any:
        sizes = {
            "model-1.safetensors": 9_000_000_000,
            "model-2.safetensors": 7_500_000_000,
            "extra.bin": 10**12,
        }
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=n, size=s) for n, s in sizes.items()])


@pytest.fixture
def hub(untied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    return install(Hub(untied, tmp_path / "snapshot"), monkeypatch)


def install(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    return hub


def test_the_size_is_logged_before_the_first_download(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    reranker = ZipReranker("owner/name", token="secret", revision="v1", cache_dir="/models")
    assert not hub.calls
    with caplog.at_level(logging.WARNING):
        assert len(reranker.rerank("blue", [Page.from_image(picture(1))])) == 1
    assert [record.message for record in caplog.records] == ["downloading owner/name: 16.5 GB, once"]
    last = hub.calls[-1]
    assert (last["model"], last["token"], last["revision"]) == ("owner/name", "secret", "v1")
    assert last["cache_dir"] == "/models" and not any("bin" in name for name in last["allow_patterns"])


def test_a_downloaded_model_is_not_downloaded_again(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint_config.download("owner/name", revision=None, token=None, cache_dir=None)
    hub.calls.clear()
    caplog.clear()
    assert checkpoint_config.download("owner/name", revision=None, token=None, cache_dir=None) == hub.folder
    assert [call.get("local_files_only") for call in hub.calls] == [True] and not caplog.records


def test_an_interrupted_download_continues(
    untied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hub = install(Hub(untied, tmp_path / "part", have=("config.json", "tokenizer.json")), monkeypatch)
    folder = checkpoint_config.download("owner/name", revision=None, token=None, cache_dir=None)
    assert (folder / "model.safetensors").exists() and len(hub.calls) == 2
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model-2.safetensors"}})
    )
    checkpoint_config.download("owner/name", revision=None, token=None, cache_dir=None)
    assert len(hub.calls) == 4


def test_a_hub_that_cannot_be_reached(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any, **__: Any) -> Any:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(hub, "model_info", down)
    with pytest.raises(CheckpointError, match="owner/name cannot be downloaded: no route to host"):
        ZipReranker("owner/name").rerank("q", [Page.from_image(picture(1))])
