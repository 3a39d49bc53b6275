"""Listwise reranking of page images in one forward pass, for LlamaIndex, LangChain and Haystack.

The public names are imported on first use, so that ``import ziprerank_integrations`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ziprerank_integrations.cascade import Cascade
    from ziprerank_integrations.errors import (
        CallCancelledError,
        CheckpointError,
        EngineError,
        MissingDependencyError,
        PageAccessError,
        PageError,
        QueryError,
        RemoteError,
        UnsupportedOptionError,
        ZipRerankError,
    )
    from ziprerank_integrations.local import ZipReranker
    from ziprerank_integrations.remote import RemoteReranker
    from ziprerank_integrations.types import Evidence, Page, RankedPage, Ranking, Reranker, Usage

__version__ = "0.1.0"

__all__ = [
    "CallCancelledError",
    "Cascade",
    "CheckpointError",
    "EngineError",
    "Evidence",
    "MissingDependencyError",
    "Page",
    "PageAccessError",
    "PageError",
    "QueryError",
    "RankedPage",
    "Ranking",
    "RemoteError",
    "RemoteReranker",
    "Reranker",
    "UnsupportedOptionError",
    "Usage",
    "ZipRerankError",
    "ZipReranker",
    "__version__",
]

_HOMES = {
    "cascade": ("Cascade",),
    "errors": (
        "CallCancelledError",
        "CheckpointError",
        "EngineError",
        "MissingDependencyError",
        "PageAccessError",
        "PageError",
        "QueryError",
        "RemoteError",
        "UnsupportedOptionError",
        "ZipRerankError",
    ),
    "local": ("ZipReranker",),
    "remote": ("RemoteReranker",),
    "types": ("Evidence", "Page", "RankedPage", "Ranking", "Reranker", "Usage"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
