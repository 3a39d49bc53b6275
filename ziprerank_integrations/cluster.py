"""The server on a Ray Serve cluster: an ingress that reads requests, and replicas of the engine behind it.

``serve run ziprerank_integrations.cluster:app``, or ``:build_app`` with arguments, see `ClusterArgs`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ziprerank_integrations.errors import require

for _module in ("ray.serve", "fastapi"):
    require(_module, "ray", purpose="ziprerank_integrations.cluster")

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve.config import RequestRouterConfig
from ray.serve.handle import DeploymentHandle
from ray.serve.request_router import (
    PendingRequest,
    ReplicaID,
    RequestRouter,
    RunningReplica,
)

from ziprerank_integrations.affinity import PageAffinity
from ziprerank_integrations.answers import write_answer
from ziprerank_integrations.connect import connect
from ziprerank_integrations.errors import ZipRerankError
from ziprerank_integrations.local import ZipReranker
from ziprerank_integrations.options import DEFAULT_MODEL
from ziprerank_integrations.replicas import EngineReplicas
from ziprerank_integrations.server import ServerSettings, create_app
from ziprerank_integrations.sizes import Sizes
from ziprerank_integrations.types import Page

__all__ = ["ClusterArgs", "PageRouter", "app", "build_app"]

_ENGINE = "engine"
_FAILURES = 3


class ClusterArgs(BaseModel):
    """What ``build_app`` takes, from a config file or the command line.

    Attributes:
        model: Hub id, local folder or ``"tiny"``.
        keep_ratio: Share of visual tokens that stays.
        max_side: Longest edge of a page in pixels; None is the checkpoint's own.
        cache_bytes: Memory for pages seen before, in each replica.
        device: Where a replica computes; None is the best device it has.
        num_gpus: GPUs for each replica of the engine; 0 computes on the CPU.
        num_cpus: CPUs for each replica of the engine.
        min_replicas: The fewest replicas of the engine.
        max_replicas: The most; if that is more, Ray adds replicas while requests pile up.
        max_ongoing_requests: Requests that a replica has at a time, all but one of them waiting there.
        ingress_replicas: Replicas that read requests; they need no GPU.
        ingress_cpus: CPUs for each of these.
        api_key_env: The environment variable that holds the key clients must send.
        allow_urls: Whether images that clients name by URL are fetched.
        timeout: Seconds a request may take.
        max_waiting: The most requests that wait in one ingress replica.
    """

    model_config = ConfigDict(extra="forbid")

    model: str = DEFAULT_MODEL
    keep_ratio: float = 1.0
    max_side: int | None = None
    cache_bytes: int = 2 * 2**30
    device: str | None = None
    num_gpus: float = 1
    num_cpus: float = 1
    min_replicas: int = 1
    max_replicas: int = 1
    max_ongoing_requests: int = 4
    ingress_replicas: int = 1
    ingress_cpus: float = 1
    api_key_env: str | None = None
    allow_urls: bool = False
    timeout: float = 60.0
    max_waiting: int = 64


class PageRouter(RequestRouter):
    """Sends a request to the replica that has its pages in its cache, unless that one is busy.

    Unlike Ray's own routers it does not hand replicas out first come first served: then the replica that was
    chosen for one request would go to another.
    """

    def initialize_state(self, **kwargs: Any) -> None:
        """Begin with an empty memory.

        Args:
            **kwargs: ``limit``, the most pages that are remembered.
        """
        self._affinity = PageAffinity(**kwargs)

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Rank the replicas for a request; the first that has room gets it."""
        by_name = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        pages = [] if pending_request is None else _page_names(pending_request)
        return [[by_name[name]] for name in self._affinity.order(pages, list(by_name))]

    def on_request_routed(self, pending_request: PendingRequest, replica_id: ReplicaID, result: Any) -> None:
        """Remember where the request's pages went."""
        self._affinity.record(_page_names(pending_request), replica_id.unique_id)


def _page_names(request: PendingRequest) -> list[str]:
    given = request.kwargs.get("names", [])
    return list(given)


class Engine:
    """One replica of the engine.

    Args:
        options: Of `ZipReranker`.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._reranker = cast(ZipReranker, connect(**options))
        self._reranker.load()
        self._failures = 0

    def check_health(self) -> None:
        """Let Ray replace a replica whose device has failed for good, as after a CUDA error.

        Raises:
            RuntimeError: If the last three requests failed unexpectedly.
        """
        if self._failures >= _FAILURES:
            raise RuntimeError(f"the last {self._failures} requests failed unexpectedly")

    async def facts(self) -> tuple[str, Sizes | None]:
        """Tell the model and the size at which it wants its pages."""
        return self._reranker.model, self._reranker.sizes

    async def rerank(
        self,
        query: str,
        pages: Sequence[Page],
        top_n: int | None,
        keep_ratio: float | None,
        *,
        names: Sequence[str],
    ) -> dict[str, Any]:
        """Rank pages; the answer is JSON, because the pages need not travel back.

        Args:
            query: The question.
            pages: The candidates.
            top_n: How many results to give.
            keep_ratio: Share of visual tokens that stays; None is the replica's own.
            names: Of the pages, by their content; for the router.
        """
        options = {} if keep_ratio is None else {"keep_ratio": keep_ratio}
        try:
            ranking = await self._reranker.with_options(**options).arerank(query, pages, top_n=top_n)
        except ZipRerankError:
            raise  # the request's fault, or understood
        except Exception:
            self._failures += 1
            raise
        self._failures = 0
        return write_answer(ranking, "", evidence=True)


def build_app(args: ClusterArgs | Mapping[str, Any]) -> serve.Application:
    """Build the application for ``serve run`` or a config file.

    Args:
        args: See `ClusterArgs`.

    Raises:
        ValueError: If one is unknown or of the wrong kind.
    """
    at = args if isinstance(args, ClusterArgs) else ClusterArgs.model_validate(dict(args))
    replicas: dict[str, Any] = {"num_replicas": at.min_replicas}
    if at.max_replicas != at.min_replicas:
        replicas = {"autoscaling_config": {"min_replicas": at.min_replicas, "max_replicas": at.max_replicas}}
    # By its name, as Ray's own configuration files have it.
    router = RequestRouterConfig.model_validate({"request_router_class": f"{__name__}:{PageRouter.__name__}"})
    engine: Any = serve.deployment(
        Engine,
        name=_ENGINE,
        ray_actor_options={"num_gpus": at.num_gpus, "num_cpus": at.num_cpus},
        max_ongoing_requests=at.max_ongoing_requests,
        request_router_config=router,
        **replicas,
    )
    settings: dict[str, Any] = {
        "allow_urls": at.allow_urls,
        "timeout": at.timeout,
        "max_waiting": at.max_waiting,
        # Passed on, and awaited there: as many as the replicas can have at a time.
        "workers": max(1, at.max_replicas * at.max_ongoing_requests),
    }

    def ingress() -> FastAPI:
        key = None if at.api_key_env is None else os.environ[at.api_key_env]
        handle = serve.get_deployment_handle(_ENGINE, serve.get_replica_context().app_name)
        return create_app(EngineReplicas(handle), ServerSettings(api_key=key, **settings))

    @serve.ingress(ingress)
    class Ingress:
        def __init__(self, engine: DeploymentHandle[Any]) -> None:
            self.engine = engine

    options = {
        "model": at.model,
        "keep_ratio": at.keep_ratio,
        "max_side": at.max_side,
        "cache_bytes": at.cache_bytes,
        "device": at.device,
    }
    front: Any = serve.deployment(
        Ingress,
        name="ingress",
        num_replicas=at.ingress_replicas,
        ray_actor_options={"num_cpus": at.ingress_cpus},
        # The ingress has a line of its own, which answers 429; Ray must not hold requests back before it.
        max_ongoing_requests=settings["workers"] + at.max_waiting + 16,
    )
    return cast(serve.Application, front.bind(engine.bind(options)))


app = build_app({})
