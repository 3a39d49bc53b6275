"""The server on a Ray Serve cluster: an ingress that reads requests, and engine replicas that rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve.config import RequestRouterConfig
from ray.serve.handle import DeploymentHandle

from ziprerank_integrations.checks import key_from_env
from ziprerank_integrations.cluster.replicas import EngineReplicas
from ziprerank_integrations.cluster.routing import PageRouter
from ziprerank_integrations.connect import connect
from ziprerank_integrations.errors import UnsupportedOptionError, ZipRerankError
from ziprerank_integrations.options import (
    CacheBytes,
    CallOptions,
    CascadeOptions,
    EngineOptions,
    Quantization,
)
from ziprerank_integrations.pages.sizes import Sizes
from ziprerank_integrations.server import ServerSettings, create_app
from ziprerank_integrations.types import Page, Prior, extended
from ziprerank_integrations.wire.response import write_response

__all__ = ["ClusterArgs", "PageRouter", "app", "build_app"]

_CALL = CallOptions()
_CASCADE = CascadeOptions()
_ENGINE = EngineOptions()
_SERVER = ServerSettings()
_ENGINE_NAME = "engine"
_MAX_FAILURES = 3
# The arguments that are options of each replica's reranker.
_ENGINE_ARGS = (
    "model",
    "scorer",
    "embedder",
    "first_model",
    "first_scorer",
    "first_keep",
    "keep_ratio",
    "instruction",
    "max_side",
    "compile",
    "quantize",
    "cache_bytes",
    "host_cache_bytes",
    "page_store",
    "page_store_bytes",
    "pdf_workers",
    "device",
)


class ClusterArgs(BaseModel):
    """The arguments of ``build_app``, from a config file or the command line.

    Attributes:
        model: Hub id, local folder or ``"tiny"``.
        scorer: How the checkpoint ranks; None is what its files say.
        embedder: Model by which a page-first checkpoint prunes pages.
        first_model: Model that ranks all pages before ``model`` ranks the best again; None is no such model.
        first_scorer: How ``first_model`` ranks.
        first_keep: How many of the first model's best pages ``model`` ranks again.
        keep_ratio: Share of visual tokens that stays; None is the checkpoint's own.
        instruction: What relevance means, in a pointwise checkpoint's prompt.
        max_side: Longest edge of a page in pixels; None uses the checkpoint's own.
        compile: Whether each replica runs its layers through ``torch.compile``.
        quantize: ``"int8"`` for half of the memory, ``"fp8"`` for speed; needs torchao.
        cache_bytes: Memory for the page cache of each replica, in bytes, or ``"auto"``, by the device.
        host_cache_bytes: Host memory of each replica for pages that left the device's cache.
        page_store: Folder in which replicas of one machine share page features.
        page_store_bytes: The most bytes of that folder.
        pdf_workers: Processes of each replica in which PDFs are rendered.
        device: The device of a replica; None selects the best available one.
        num_gpus: GPUs for each engine replica; with 0 it runs on the CPU.
        num_cpus: CPUs for each engine replica.
        min_replicas: The minimum number of engine replicas.
        max_replicas: The maximum number of engine replicas; above the minimum, Ray scales with the load.
        max_ongoing_requests: Requests in one engine replica at a time; it ranks one, the others wait there.
        ingress_replicas: Replicas that read requests; they need no GPU.
        ingress_cpus: CPUs for each ingress replica.
        api_key_env: The environment variable with the key that clients must send; None requires none.
        allow_urls: Whether images that clients name by URL are fetched.
        timeout: Seconds a request may take.
        max_waiting: The most waiting requests in one ingress replica.
    """

    model_config = ConfigDict(extra="forbid")

    model: str = _ENGINE.model
    scorer: str | dict[str, Any] | None = _ENGINE.scorer
    embedder: str | None = _ENGINE.embedder
    first_model: str | None = _CASCADE.first_model
    first_scorer: str | dict[str, Any] | None = _CASCADE.first_scorer
    first_keep: int = _CASCADE.first_keep
    keep_ratio: float | None = _CALL.keep_ratio
    instruction: str | None = _CALL.instruction
    max_side: int | None = _CALL.max_side
    compile: bool = _ENGINE.compile
    quantize: Quantization | None = _ENGINE.quantize
    cache_bytes: CacheBytes = _ENGINE.cache_bytes
    host_cache_bytes: int = _ENGINE.host_cache_bytes
    page_store: str | None = _ENGINE.page_store
    page_store_bytes: int = _ENGINE.page_store_bytes
    pdf_workers: int = 1
    device: str | None = _ENGINE.device
    num_gpus: float = 1
    num_cpus: float = 1
    min_replicas: int = 1
    max_replicas: int = 1
    max_ongoing_requests: int = 4
    ingress_replicas: int = 1
    ingress_cpus: float = 1
    api_key_env: str | None = None
    allow_urls: bool = _SERVER.allow_urls
    timeout: float = _SERVER.timeout
    max_waiting: int = _SERVER.max_waiting


class EngineDeployment:
    """One engine replica.

    Args:
        options: Options of `connect`.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._reranker = extended(connect(**options))
        self._reranker.load()
        self._failures = 0

    def check_health(self) -> None:
        """Report a replica to Ray, to be replaced, whose device has failed for good, as after a CUDA error.

        Raises:
            RuntimeError: If the last three requests failed unexpectedly.
        """
        if self._failures >= _MAX_FAILURES:
            raise RuntimeError(f"the last {self._failures} requests failed unexpectedly")

    async def info(self) -> tuple[str, Sizes | None]:
        """Return the model's name and the size at which pages enter it."""
        return self._reranker.model, self._reranker.sizes

    async def rerank(
        self,
        query: str,
        pages: Sequence[Page],
        top_n: int | None,
        options: Mapping[str, Any],
        *,
        names: Sequence[str],
        prior: Prior | None = None,
    ) -> dict[str, Any]:
        """Rank pages; the response is JSON, so that the pages are not sent back.

        Args:
            query: The question.
            pages: The candidates.
            top_n: How many results to return; None returns all.
            options: The options of a call that differ from the replica's own.
            names: The fingerprints of the pages, for the router.
            prior: The first stage's scores; None if only the order is known.
        """
        try:
            reranker = extended(self._reranker.with_options(**options))
        except ValueError as error:
            raise UnsupportedOptionError(str(error)) from error
        try:
            ranking = await reranker.arerank(query, pages, top_n=top_n, prior=prior)
        except ZipRerankError:
            raise  # caused by the request, or a known failure
        except Exception:
            self._failures += 1
            raise
        self._failures = 0
        return write_response(ranking, "", evidence=True)


def build_app(args: ClusterArgs | Mapping[str, Any]) -> serve.Application:
    """Return the application for ``serve run`` or a config file.

    Args:
        args: See `ClusterArgs`.

    Raises:
        ValueError: If an argument is unknown or of the wrong type.
    """
    args = args if isinstance(args, ClusterArgs) else ClusterArgs.model_validate(dict(args))
    replicas: dict[str, Any] = {"num_replicas": args.min_replicas}
    if args.max_replicas != args.min_replicas:
        replicas = {
            "autoscaling_config": {"min_replicas": args.min_replicas, "max_replicas": args.max_replicas}
        }
    # By its import path, as in Ray's own configuration files.
    router = RequestRouterConfig.model_validate(
        {"request_router_class": f"{PageRouter.__module__}:{PageRouter.__name__}"}
    )
    engine: Any = serve.deployment(
        EngineDeployment,
        name=_ENGINE_NAME,
        ray_actor_options={"num_gpus": args.num_gpus, "num_cpus": args.num_cpus},
        max_ongoing_requests=args.max_ongoing_requests,
        request_router_config=router,
        **replicas,
    )
    settings: dict[str, Any] = {
        "allow_urls": args.allow_urls,
        "timeout": args.timeout,
        "max_waiting": args.max_waiting,
        # The requests wait in the replicas: as many as all replicas together may have at a time.
        "workers": max(1, args.max_replicas * args.max_ongoing_requests),
    }

    def ingress() -> FastAPI:
        key = None if args.api_key_env is None else key_from_env(args.api_key_env)
        handle = serve.get_deployment_handle(_ENGINE_NAME, serve.get_replica_context().app_name)
        return create_app(EngineReplicas(handle), ServerSettings(api_key=key, **settings))

    @serve.ingress(ingress)
    class Ingress:
        def __init__(self, engine: DeploymentHandle[Any]) -> None:
            self.engine = engine

    options = {name: getattr(args, name) for name in _ENGINE_ARGS}
    ingress_deployment: Any = serve.deployment(
        Ingress,
        name="ingress",
        num_replicas=args.ingress_replicas,
        ray_actor_options={"num_cpus": args.ingress_cpus},
        # The ingress has its own queue, which responds with 429; Ray must not queue requests before it.
        max_ongoing_requests=settings["workers"] + args.max_waiting + 16,
    )
    return cast(serve.Application, ingress_deployment.bind(engine.bind(options)))


app = build_app({})
