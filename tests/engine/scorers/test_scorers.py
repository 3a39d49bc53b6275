"""The table of scorers: the only list of their names."""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path

import pytest

from ziprerank_integrations import CheckpointError, ZipReranker
from ziprerank_integrations.engine.scorers import SCORERS, scorer_class
from ziprerank_integrations.engine.scorers.base import Scorer


@pytest.mark.parametrize("name", SCORERS)
def test_every_scorer_has_the_members_of_the_protocol(name: str) -> None:
    cls = scorer_class(name)
    assert cls.__module__.startswith("ziprerank_integrations.engine.scorers.")
    for member in ("answer_tokens", "prepare", "score", "similarity"):
        expected = inspect.signature(getattr(Scorer, member)).parameters
        assert list(inspect.signature(getattr(cls, member)).parameters) == list(expected)


def test_the_config_reader_knows_the_scorers_of_the_table(
    untied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(untied, tmp_path / "copy"))
    config = json.loads((folder / "config.json").read_text())
    config["ziprerank"] = {"scorer": "another"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="'another', which is not one of 'listwise', 'pointwise'"):
        ZipReranker(folder)
    monkeypatch.setitem(SCORERS, "another", SCORERS["listwise"])
    assert ZipReranker(folder).sizes is not None
