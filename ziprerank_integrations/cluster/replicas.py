"""EngineReplicas: the engine replicas of a Ray Serve cluster, as a `Reranker`."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from ziprerank_integrations import cancellation
from ziprerank_integrations.errors import RemoteError, ZipRerankError
from ziprerank_integrations.options import check_prior
from ziprerank_integrations.pages.sizes import Sizes
from ziprerank_integrations.types import Page, Prior, Ranking
from ziprerank_integrations.wire.response import read_response


class EngineReplicas:
    """The engine replicas of a Ray Serve cluster, as a `Reranker`.

    Args:
        handle: The handle of the engine deployment.
        options: The options of a call that differ from the replicas' own.
    """

    def __init__(self, handle: DeploymentHandle[Any], options: Mapping[str, Any] | None = None) -> None:
        self._handle = handle
        self._options = {} if options is None else dict(options)
        self._info: list[tuple[str, Sizes | None]] = []
        self._lock = threading.Lock()

    @property
    def model(self) -> str:
        """The model's name; ``"engine"`` until a replica is running."""
        return self._info[0][0] if self._info else "engine"

    @property
    def sizes(self) -> Sizes | None:
        """The size at which pages enter the model; None until a replica is running."""
        return self._info[0][1] if self._info else None

    @property
    def has_sizes(self) -> bool:
        """Whether there is a size rule, or may be while no replica is running; a cascade may have none."""
        return not self._info or self._info[0][1] is not None

    def load(self) -> None:
        """Wait until a replica has loaded the model."""
        with self._lock:
            if not self._info:
                self._info.append(_outcome(self._handle.info.remote()))

    def with_options(self, **options: Any) -> EngineReplicas:
        """Return the same replicas with other options of a call, which they check."""
        other = EngineReplicas(self._handle, {**self._options, **options})
        other._info = self._info
        return other

    def rerank(
        self, query: str, pages: Sequence[Page], *, top_n: int | None = None, prior: Prior | None = None
    ) -> Ranking:
        """Rank pages on one of the replicas.

        Raises:
            UnsupportedOptionError: If the model does not support an option.
            RemoteError: If the replica fails, or none is available.
        """
        names = [page.fingerprint() for page in pages]
        scores = check_prior(prior, len(pages))
        own = {} if scores is None else {"prior": scores}
        response = self._handle.rerank.remote(query, list(pages), top_n, self._options, names=names, **own)
        return read_response(_outcome(response), query, pages, top_n, own=True)


def _outcome(response: Any) -> Any:
    """Wait for a replica's response, or until the call is cancelled; then the replica's is cancelled too."""
    try:
        while True:
            try:
                return response.result(timeout_s=0.2)
            except TimeoutError:
                cancellation.check()
    except RayTaskError as error:
        if isinstance(error.cause, (ZipRerankError, ValueError)):
            raise error.cause from None
        raise RemoteError(f"a replica failed: {type(error.cause).__name__}") from error
    except (RayError, RayServeException) as error:
        raise RemoteError(f"a replica is not available: {type(error).__name__}") from error
    finally:
        response.cancel()
