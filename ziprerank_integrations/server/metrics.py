"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from ziprerank_integrations.types import Usage

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The counters of one server, in a registry of their own, so that one process can have several.

    Args:
        waiting: Gives the number of requests that wait.
        cached_bytes: Gives the memory that the cache takes.
    """

    def __init__(self, waiting: Callable[[], float], cached_bytes: Callable[[], float]) -> None:
        self._registry = at = CollectorRegistry()
        self._requests = Counter(
            "ziprerank_requests", "Requests by route and outcome.", ["route", "code"], registry=at
        )
        self._latency = Histogram(
            "ziprerank_request_seconds",
            "From a request's first byte to its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=at,
        )
        self._stages = Histogram(
            "ziprerank_stage_seconds",
            "Where the time of a ranking goes.",
            ["stage"],
            buckets=_SECONDS,
            registry=at,
        )
        Gauge("ziprerank_queue_length", "Requests that wait.", registry=at).set_function(waiting)
        Gauge("ziprerank_cache_bytes", "Memory for pages seen before.", registry=at).set_function(
            cached_bytes
        )
        self._pages = Counter("ziprerank_pages", "Pages that were ranked.", registry=at)
        self._windows = Counter("ziprerank_windows", "Forward passes of the language model.", registry=at)
        self._hits = Counter("ziprerank_cache_hits", "Pages found in the cache.", registry=at)
        self._misses = Counter("ziprerank_cache_misses", "Pages that were encoded.", registry=at)
        self._tokens = Counter(
            "ziprerank_visual_tokens", "Visual tokens before and after pruning.", ["when"], registry=at
        )

    def answered(self, route: str, code: str, seconds: float) -> None:
        """Count a request and its outcome: ``ok`` or the code of its failure."""
        self._requests.labels(route, code).inc()
        self._latency.labels(route).observe(seconds)

    def stage(self, name: str, seconds: float) -> None:
        """Count what a stage took."""
        self._stages.labels(name).observe(seconds)

    def ranked(self, usage: Usage | None) -> None:
        """Count what a ranking cost, as far as that is known."""
        if usage is None:
            return
        for name, ms in usage.ms.items():
            self.stage(name, ms / 1e3)
        self._pages.inc(usage.pages)
        self._windows.inc(usage.windows)
        self._hits.inc(usage.cached)
        self._misses.inc(usage.encoded)
        self._tokens.labels("before").inc(usage.tokens_before)
        self._tokens.labels("after").inc(usage.tokens_after)

    def text(self) -> bytes:
        """Give everything in Prometheus' text format."""
        return generate_latest(self._registry)
