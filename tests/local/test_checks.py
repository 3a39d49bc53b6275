"""Checks of option values and of environment variables."""

from __future__ import annotations

import pytest

from ziprerank_integrations.checks import key_from_env


def test_a_key_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZIPRERANK_TEST_KEY", " secret\n")
    assert key_from_env("ZIPRERANK_TEST_KEY") == "secret"


def test_a_key_that_is_not_set_or_blank_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZIPRERANK_TEST_KEY", raising=False)
    with pytest.raises(ValueError, match="environment variable ZIPRERANK_TEST_KEY is not set"):
        key_from_env("ZIPRERANK_TEST_KEY")
    monkeypatch.setenv("ZIPRERANK_TEST_KEY", " \n")
    with pytest.raises(ValueError, match="environment variable ZIPRERANK_TEST_KEY is blank"):
        key_from_env("ZIPRERANK_TEST_KEY")
