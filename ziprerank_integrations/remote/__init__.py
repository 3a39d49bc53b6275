"""A reranking server on another machine, over HTTP."""

from ziprerank_integrations.remote.reranker import RemoteReranker

__all__ = ["RemoteReranker"]
