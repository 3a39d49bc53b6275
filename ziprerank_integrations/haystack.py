"""ZipRerankRanker for Haystack, defined in the namespace package of Haystack's integrations."""

from __future__ import annotations

from haystack_integrations.components.rankers.ziprerank import ZipRerankRanker

__all__ = ["ZipRerankRanker"]
