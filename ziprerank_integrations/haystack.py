"""ZipRerankRanker for Haystack. It is defined where Haystack loads components from, and given on here."""

from __future__ import annotations

from haystack_integrations.components.rankers.ziprerank import ZipRerankRanker

__all__ = ["ZipRerankRanker"]
