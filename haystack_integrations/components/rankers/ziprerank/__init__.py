"""A Haystack ranker that ranks documents by their page images."""

from haystack_integrations.components.rankers.ziprerank.ranker import ZipRerankRanker

__all__ = ["ZipRerankRanker"]
