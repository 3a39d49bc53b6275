"""connect(model=… | url=…): one shared engine per process and configuration, or the client of a server."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ziprerank_integrations import fork
from ziprerank_integrations.cascade import Cascade
from ziprerank_integrations.local import ZipReranker
from ziprerank_integrations.options import (
    CALL_OPTIONS,
    CASCADE_OPTIONS,
    DEFAULT_MODEL,
    ENGINE_OPTIONS,
    CallOptions,
    CascadeOptions,
    EngineOptions,
)
from ziprerank_integrations.remote import RemoteReranker
from ziprerank_integrations.remote.connection import check_address
from ziprerank_integrations.types import Reranker

_REMOTE_OPTIONS = ("keep_ratio", "instruction", "retriever_weight", "prior_order")
_DEFAULTS: dict[str, Any] = {
    "model": DEFAULT_MODEL,
    **vars(CascadeOptions()),
    **vars(EngineOptions()),
    **vars(CallOptions()),
}

_ENGINES: dict[EngineOptions, ZipReranker] = {}
_SERVERS: OrderedDict[tuple[str, str | None], RemoteReranker] = OrderedDict()
_MAX_SERVERS = 16  # others are closed when nobody uses them
_LOCK = fork.lock()


def connect(
    *,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    url: str | None = None,
    api_key: str | None = None,
    **options: Any,
) -> Reranker:
    """Return a reranker: an engine on this machine, shared per configuration, or the client of a server.

    Weights are loaded at first use, once, however many rerankers share them. The options of a call
    (`ziprerank_integrations.options.CallOptions`) may differ between those that share. The clients of the 16
    servers and keys that were used last are shared too.

    With ``first_model``, usually a pointwise checkpoint, it is a `Cascade`: that model ranks all pages, then
    ``model`` ranks the best ``first_keep`` again. ``scorer`` and ``revision`` are those of ``model``,
    ``first_scorer`` and ``embedder`` those of ``first_model``; both models use the other engine options. An
    option of a call goes to each of the two that supports it.

    Args:
        model: The model on this machine, see `ZipReranker`.
        url: A server to use instead, ``http://`` or ``https://``.
        api_key: The server's key.
        **options: As in `ZipReranker`; also ``first_model``, ``first_scorer`` and ``first_keep``. With
            ``url`` only ``keep_ratio``, ``instruction``, ``retriever_weight`` and ``prior_order`` may differ
            from their defaults; the others belong to the server.

    Raises:
        TypeError: If there is no such option.
        ValueError: If a value is out of its range, or cannot be combined with ``url``.
        UnsupportedOptionError: If no model supports an option; for a hub model, at the first call.
        CheckpointError: If a model is a folder without a Qwen3-VL checkpoint.
    """
    if url is not None or api_key is not None:
        check(model=model, url=url, api_key=api_key, **options)
    if url is not None:
        return _remote(url, api_key, options)
    check_names(options)
    return _build(_shared, model, options)


def check(
    *,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    url: str | None = None,
    api_key: str | None = None,
    **options: Any,
) -> None:
    """Check arguments as `connect` does, without connecting, loading or keeping anything.

    Raises:
        TypeError: If there is no such option.
        ValueError: If a value is out of its range, or cannot be combined with ``url``.
        UnsupportedOptionError: If no model supports an option.
        CheckpointError: If a model is a folder without a Qwen3-VL checkpoint.
    """
    check_names(options)
    if url is None:
        if api_key is not None:
            raise ValueError("api_key needs url; a model on this machine has no key")
        local(model, **options)
        return
    check_address(url)
    wrong = [name for name in differing({"model": model, **options}) if name not in _REMOTE_OPTIONS]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} cannot go with url; these are for a model on this machine")
    CallOptions(**{name: options[name] for name in _REMOTE_OPTIONS if name in options})


def check_names(options: dict[str, Any]) -> None:
    """Check the names of options.

    Raises:
        TypeError: If there is no such option.
    """
    for name in options:
        if name not in _DEFAULTS:
            raise TypeError(f"{name!r} is not an option; the options are {', '.join(_DEFAULTS)}")


def differing(options: dict[str, Any]) -> list[str]:
    """Return the names of the options whose value is not their default."""
    return [name for name, value in options.items() if value != _DEFAULTS[name]]


def local(model: str | os.PathLike[str], **options: Any) -> ZipReranker | Cascade:
    """Return a reranker on this machine that shares nothing. Loads nothing; see `connect`."""
    check_names(options)
    return _build(ZipReranker.from_options, model, options)


def _build(
    engine: Callable[[EngineOptions], ZipReranker], model: str | os.PathLike[str], options: dict[str, Any]
) -> ZipReranker | Cascade:
    """Return a reranker on this machine. Loads nothing.

    Args:
        engine: Returns the reranker of one model.
        model: The model.
        options: The other options, whose names are checked.
    """
    cascade = CascadeOptions(**_chosen(options, CASCADE_OPTIONS))
    call = _chosen(options, CALL_OPTIONS)
    CallOptions(**call)
    own = EngineOptions(model=os.fspath(model), **_chosen(options, ENGINE_OPTIONS))
    changed = {name: call[name] for name in differing(call)}
    reranker: ZipReranker | Cascade
    if cascade.first_model is None:
        reranker = engine(own)
    else:
        first = replace(own, model=cascade.first_model, scorer=cascade.first_scorer, revision=None)
        reranker = Cascade(engine(first), engine(replace(own, embedder=None)), keep=cascade.first_keep)
    checked = reranker.with_options(**changed)
    return checked if changed else reranker


def _shared(options: EngineOptions) -> ZipReranker:
    with _LOCK:
        shared = _ENGINES.get(options)
        if shared is None:
            shared = _ENGINES[options] = ZipReranker.from_options(options)
        return shared


def _chosen(options: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in names}


def _remote(url: str, api_key: str | None, options: dict[str, Any]) -> Reranker:
    key = check_address(url), api_key
    with _LOCK:
        shared = _SERVERS.pop(key, None) or RemoteReranker(url, api_key=api_key)
        _SERVERS[key] = shared
        dropped = _SERVERS.popitem(last=False) if len(_SERVERS) > _MAX_SERVERS else None
    del dropped  # closed here, without the lock, unless it is in use
    # A default is not sent: the server may have been started with another one.
    changed = {name: options[name] for name in differing(options) if name in _REMOTE_OPTIONS}
    return shared.with_options(**changed) if changed else shared
