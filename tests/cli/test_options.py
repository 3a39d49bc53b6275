"""The options of the commands are fields of the options classes, with their defaults."""

from __future__ import annotations

import inspect

import pytest

from tests.cli.command import Captured, run
from ziprerank_integrations.cli import options, rank, serve
from ziprerank_integrations.options import CallOptions, CascadeOptions, EngineOptions


def test_every_option_has_the_default_of_its_class() -> None:
    defaults = {**vars(EngineOptions()), **vars(CascadeOptions()), **vars(CallOptions())}
    for command in (rank.rank, serve.serve):
        parameters = inspect.signature(command).parameters
        declared = {name: parameters[name].default for name in options._OPTIONS if name in parameters}
        assert declared == {name: defaults[name] for name in declared} and len(declared) >= 4
    assert "cache_bytes" in inspect.signature(serve.serve).parameters
    assert "cache_bytes" not in inspect.signature(rank.rank).parameters


@pytest.mark.parametrize("command", [["rank"], ["serve"], ["eval", "pairs"], ["eval", "mmdocir"]])
def test_help_shows_the_options_with_their_defaults(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(*command, "--help") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("--keep-ratio" in line and "Default: the checkpoint's" in line for line in lines)
    assert any("--device" in line for line in lines) and any("--max-side" in line for line in lines)


def test_values_are_checked() -> None:
    options.check_values({"window": 4, "stride": 2, "device": "cpu"})
    with pytest.raises(ValueError, match="window=21"):
        options.check_values({"window": 21})
    with pytest.raises(ValueError, match="first_keep needs first_model"):
        options.check_values({"first_keep": 3})
