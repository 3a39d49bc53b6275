"""connect(model=… | url=…): one shared engine per process and configuration, or a server's client."""

from __future__ import annotations

import os
import threading
from typing import Any

from ziprerank_integrations.connections import check_address
from ziprerank_integrations.local import ZipReranker
from ziprerank_integrations.options import (
    CALL_OPTIONS,
    DEFAULT_MODEL,
    ENGINE_OPTIONS,
    CallOptions,
    EngineOptions,
)
from ziprerank_integrations.remote import RemoteReranker
from ziprerank_integrations.types import Reranker

_REMOTE_OPTIONS = ("keep_ratio",)
_DEFAULTS: dict[str, Any] = {"model": DEFAULT_MODEL, **vars(EngineOptions()), **vars(CallOptions())}

_ENGINES: dict[tuple[tuple[str, Any], ...], ZipReranker] = {}
_SERVERS: dict[tuple[str, str | None], RemoteReranker] = {}
_LOCK = threading.Lock()


def connect(
    *,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    url: str | None = None,
    api_key: str | None = None,
    **options: Any,
) -> Reranker:
    """Give a reranker: the engine on this machine, shared by all who ask for the same, or a server's client.

    Weights are loaded at first use, once, however many rerankers share them. The options of a call
    (`ziprerank_integrations.options.CallOptions`) may differ between those that share.

    Args:
        model: What to load on this machine, see `ZipReranker`.
        url: A server to ask instead, ``http://`` or ``https://``.
        api_key: The server's key.
        **options: As in `ZipReranker`. With ``url`` only ``keep_ratio`` may differ from its default, for the
            others are the server's own.

    Raises:
        TypeError: If there is no such option.
        ValueError: If a value is out of its range, or does not go with ``url``.
        CheckpointError: If ``model`` is a folder without a Qwen3-VL checkpoint.
    """
    if url is not None or api_key is not None:
        check(model=model, url=url, api_key=api_key, **options)
    if url is not None:
        return _remote(url, api_key, options)
    known(options)
    engine = {name: _plain(name, value) for name, value in options.items() if name in ENGINE_OPTIONS}
    call = {name: value for name, value in options.items() if name in CALL_OPTIONS}
    key = tuple(sorted({**vars(EngineOptions()), **engine, "model": os.fspath(model)}.items()))
    with _LOCK:
        shared = _ENGINES.get(key)
        if shared is None:
            shared = _ENGINES[key] = ZipReranker(model, **engine)
    return shared.with_options(**call) if differing(call) else shared


def check(
    *,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    url: str | None = None,
    api_key: str | None = None,
    **options: Any,
) -> None:
    """Refuse what `connect` would refuse, without connecting, loading or keeping anything.

    Raises:
        TypeError: If there is no such option.
        ValueError: If a value is out of its range, or does not go with ``url``.
        CheckpointError: If ``model`` is a folder without a Qwen3-VL checkpoint.
    """
    known(options)
    if url is None:
        if api_key is not None:
            raise ValueError("api_key goes with url; a model on this machine has none")
        ZipReranker(model, **options)
        return
    check_address(url)
    wrong = [name for name in differing({"model": model, **options}) if name not in _REMOTE_OPTIONS]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} cannot go with url; these are for a model on this machine")
    CallOptions(**{name: options[name] for name in _REMOTE_OPTIONS if name in options})


def known(options: dict[str, Any]) -> None:
    """Refuse an option that does not exist.

    Raises:
        TypeError: If there is one.
    """
    for name in options:
        if name not in _DEFAULTS:
            raise TypeError(f"there is no option {name!r}; there are {', '.join(_DEFAULTS)}")


def differing(options: dict[str, Any]) -> list[str]:
    """Name the options whose value is not their default."""
    return [name for name, value in options.items() if value != _DEFAULTS[name]]


def _plain(name: str, value: Any) -> Any:
    """Give an option as `EngineOptions` would hold it, so that equal configurations have equal keys."""
    if value is None or name not in ("device", "dtype", "cache_dir"):
        return value
    return os.fspath(value) if name == "cache_dir" else str(value).removeprefix("torch.")


def _remote(url: str, api_key: str | None, options: dict[str, Any]) -> Reranker:
    with _LOCK:
        shared = _SERVERS.get((url, api_key))
        if shared is None:
            shared = _SERVERS[url, api_key] = RemoteReranker(url, api_key=api_key)
    # A default is not sent along: the server may have been started with another one.
    changed = {name: options[name] for name in differing(options) if name in _REMOTE_OPTIONS}
    return shared.with_options(**changed) if changed else shared
