"""EngineReplicas: waiting for a replica, and mapping its errors; without a Ray cluster."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, RayTaskError

from ziprerank_integrations import CallCancelledError, Page, PageError, QueryError, RemoteError
from ziprerank_integrations.cancellation import cancelled_by
from ziprerank_integrations.cluster.replicas import EngineReplicas
from ziprerank_integrations.pages.sizes import Sizes

SIZES = Sizes(256, 32, 4096, 65_536)
PAGES = [Page.from_text("a"), Page.from_text("b")]
RESULTS = [
    {"index": 1, "relevance_score": 0.5, "logit": 1.0},
    {"index": 0, "relevance_score": 0.2, "logit": 0},
]


class Response:
    """A response of a deployment handle: times out, then returns or raises its outcome."""

    def __init__(self, outcome: Any, timeouts: int = 0) -> None:
        self.outcome = outcome
        self.timeouts = timeouts
        self.cancelled = False

    def result(self, *, timeout_s: float) -> Any:
        self.timeouts -= 1
        if self.timeouts >= 0:
            raise TimeoutError
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def cancel(self) -> None:
        self.cancelled = True


class Method:
    def __init__(self, response: Response) -> None:
        self.response = response
        self.calls: list[Any] = []

    def remote(self, *args: Any, **options: Any) -> Response:
        self.calls.append((args, options))
        return self.response


class Handle:
    """A deployment handle whose methods return fixed responses."""

    def __init__(self, response: Response) -> None:
        self.info = Method(Response(("the model", SIZES)))
        self.rerank = Method(response)


def task_error(cause: Exception) -> RayTaskError:
    return RayTaskError("rerank", "traceback", cause)


def test_model_and_sizes_are_known_after_loading() -> None:
    handle: Any = Handle(Response(None))
    replicas = EngineReplicas(handle)
    other = replicas.with_options(keep_ratio=0.5)
    assert (replicas.model, replicas.sizes, replicas.has_sizes) == ("engine", None, True)
    replicas.load()
    replicas.load()
    assert (replicas.model, replicas.sizes) == (other.model, other.sizes) == ("the model", SIZES)
    assert len(handle.info.calls) == 1 and replicas.has_sizes
    # A cascade whose models have different sizes has none, which is not to be waited for.
    handle.info.response = Response(("a → b", None))
    cascade = EngineReplicas(handle)
    cascade.load()
    assert (cascade.model, cascade.sizes, cascade.has_sizes) == ("a → b", None, False)


def test_a_ranking_is_read_from_the_response_of_a_replica() -> None:
    handle: Any = Handle(Response({"model": "m", "results": RESULTS}, timeouts=2))
    ranking = EngineReplicas(handle).with_options(keep_ratio=0.3, instruction="find").rerank("q", PAGES)
    assert [(item.index, item.score, item.page) for item in ranking] == [
        (1, 0.5, PAGES[1]),
        (0, 0.2, PAGES[0]),
    ]
    [(args, options)] = handle.rerank.calls
    assert args == ("q", PAGES, None, {"keep_ratio": 0.3, "instruction": "find"})
    assert options == {"names": [page.fingerprint() for page in PAGES]}
    assert handle.rerank.response.cancelled


def test_the_errors_of_a_request_keep_their_type_and_index() -> None:
    for error in (PageError("a", "is broken", index=1), QueryError("too long"), ValueError("top_n")):
        handle: Any = Handle(Response(task_error(error)))
        with pytest.raises(type(error)) as caught:
            EngineReplicas(handle).rerank("q", PAGES)
        assert caught.value is error and handle.rerank.response.cancelled


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (task_error(KeyError("x")), "a replica failed: KeyError"),
        (ActorDiedError(), "a replica is not available: ActorDiedError"),
    ],
    ids=str,
)
def test_other_failures_are_remote_errors(error: Exception, message: str) -> None:
    handle: Any = Handle(Response(error))
    with pytest.raises(RemoteError, match=message):
        EngineReplicas(handle).rerank("q", PAGES)


def test_a_request_that_ends_early_is_cancelled_on_its_replica() -> None:
    ended = threading.Event()

    class Ending(Response):
        def result(self, *, timeout_s: float) -> Any:
            if self.timeouts == 998:
                ended.set()
            return super().result(timeout_s=timeout_s)

    response = Ending(None, timeouts=1000)
    handle: Any = Handle(response)
    with cancelled_by(ended), pytest.raises(CallCancelledError):
        EngineReplicas(handle).rerank("q", PAGES)
    assert response.cancelled and response.timeouts > 900
