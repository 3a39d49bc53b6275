"""The settings of the server."""

from __future__ import annotations

from typing import Any

import pytest

from ziprerank_integrations.server import ServerSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key": ""},
        {"timeout": 0},
        {"timeout": float("inf")},
        {"workers": 0},
        {"max_waiting": -1},
        {"decoders": 1.5},
        {"fetchers": 0},
        {"on_error": "first"},
        {"share_usage": "yes"},
    ],
    ids=str,
)
def test_settings_out_of_range_are_rejected(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ServerSettings(**wrong)
