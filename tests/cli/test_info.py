"""`ziprerank info`: what is installed, and how to install the rest."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from tests.cli.command import Captured, failure, run
from ziprerank_integrations import errors
from ziprerank_integrations.engine.checkpoint_config import read, resolve


def test_info_shows_versions_model_and_missing_packages(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "haystack-ai":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert run("info", "--model", "tiny") == 0
    out, err = capsys.readouterr()
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert real("torch") in lines["torch"]
    bundled = resolve("tiny")
    assert bundled is not None
    text = read(bundled).raw["text_config"]
    assert f"{text['num_hidden_layers']} layers of {text['hidden_size']}," in lines["language"]
    assert "32 px tokens" in lines["vision"]
    assert "pip install 'ziprerank-integrations[haystack]'" in lines["haystack-ai"]
    assert err == ""


def test_info_does_not_download_a_hub_model(capsys: Captured, tmp_path: Path) -> None:
    assert run("info", "--model", "nobody/nothing-of-this-name") == 0
    assert "not downloaded" in capsys.readouterr().out
    assert run("info", "--model", tmp_path) == 1
    assert "not a checkpoint" in failure(capsys)


def test_info_shows_why_a_package_cannot_be_imported(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("torch", "pymupdf"):
        monkeypatch.setitem(errors._BROKEN, module, f"cannot be imported: {module}.so: undefined symbol")
    assert run("info", "--model", "tiny") == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert lines["device"].rstrip().endswith("unknown: torch cannot be imported: torch.so: undefined symbol")
    version = importlib.metadata.version("pymupdf")
    assert lines["pymupdf"].rstrip().endswith(f"{version}, cannot be imported: pymupdf.so: undefined symbol")
    assert "cannot be imported" not in lines["pypdfium2"]
