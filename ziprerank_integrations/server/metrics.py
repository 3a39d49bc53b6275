"""The server's counters, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from ziprerank_integrations.types import CacheStats, Usage

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The counters of one server, in their own registry, so that one process can have several servers.

    Args:
        waiting: Returns the number of waiting requests.
        cached_bytes: Returns the memory of the page cache in bytes.
        cache_stats: Returns the page cache's evictions, or None where they are not known.
    """

    def __init__(
        self,
        waiting: Callable[[], float],
        cached_bytes: Callable[[], float],
        cache_stats: Callable[[], CacheStats | None],
    ) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "ziprerank_requests", "Requests by route and outcome.", ["route", "code"], registry=registry
        )
        self._latency = Histogram(
            "ziprerank_request_seconds",
            "Time from a request's first byte to its response.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._stages = Histogram(
            "ziprerank_stage_seconds",
            "Time of a ranking by stage.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        Gauge("ziprerank_queue_length", "Waiting requests.", registry=registry).set_function(waiting)
        Gauge("ziprerank_cache_bytes", "Memory of the page cache.", registry=registry).set_function(
            cached_bytes
        )
        self._pages = Counter("ziprerank_pages", "Pages that were ranked.", registry=registry)
        self._windows = Counter(
            "ziprerank_windows", "Forward passes of the language model.", registry=registry
        )
        self._hits = Counter("ziprerank_cache_hits", "Pages found in the cache.", registry=registry)
        self._misses = Counter("ziprerank_cache_misses", "Pages that were encoded.", registry=registry)
        registry.register(_Evictions(cache_stats))
        self._tokens = Counter(
            "ziprerank_visual_tokens", "Visual tokens before and after pruning.", ["when"], registry=registry
        )

    def count_request(self, route: str, code: str, seconds: float) -> None:
        """Count a request and its outcome: ``ok`` or the code of its error."""
        self._requests.labels(route, code).inc()
        self._latency.labels(route).observe(seconds)

    def observe_stage(self, name: str, seconds: float) -> None:
        """Record the duration of a stage."""
        self._stages.labels(name).observe(seconds)

    def count_ranking(self, usage: Usage | None) -> None:
        """Count a ranking's pages, windows, tokens and time; None counts nothing."""
        if usage is None:
            return
        for name, ms in usage.ms.items():
            self.observe_stage(name, ms / 1e3)
        self._pages.inc(usage.pages)
        self._windows.inc(usage.windows)
        self._hits.inc(usage.cached)
        self._misses.inc(usage.encoded)
        self._tokens.labels("before").inc(usage.tokens_before)
        self._tokens.labels("after").inc(usage.tokens_after)

    def text(self) -> bytes:
        """Return all counters in Prometheus' text format."""
        return generate_latest(self._registry)


class _Evictions(Collector):
    """The page cache's own counters; none where they are not known, as of the replicas of a cluster."""

    def __init__(self, stats: Callable[[], CacheStats | None]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[CounterMetricFamily]:
        stats = self._stats()
        if stats is not None:
            yield CounterMetricFamily(
                "ziprerank_cache_evictions", "Pages that left the cache's memory.", stats.evicted
            )
            yield CounterMetricFamily(
                "ziprerank_pages_reencoded", "Pages that were encoded again after that.", stats.reencoded
            )
