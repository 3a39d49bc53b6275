"""``ziprerank serve``: the reranker behind HTTP."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ziprerank_integrations.cli.ranking import choose, say
from ziprerank_integrations.errors import require


def run(
    *,
    model: str | None,
    host: str,
    port: int,
    api_key_env: str | None,
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> None:
    """Serve until the process is told to end; then finish what was accepted.

    Args:
        model: Which model; None chooses.
        host: The address to listen on.
        port: The port.
        api_key_env: The environment variable that holds the key clients must send.
        options: Options of `ZipReranker` that were given.
        settings: Settings of `ServerSettings` that were given.

    Raises:
        ValueError: If an option is out of its range, or the environment variable is not set.
        ZipRerankError: If the model is none, or something is not installed.
    """
    uvicorn = require("uvicorn", "server", purpose="ziprerank serve")
    from ziprerank_integrations.server import ServerSettings, create_app

    key = None if api_key_env is None else os.environ.get(api_key_env)
    if api_key_env is not None and (key is None or not key.strip()):
        raise ValueError(f"--api-key-env {api_key_env}: this environment variable is not set")
    at = ServerSettings(api_key=key, **settings)
    chosen, why = choose(model, options.get("device"))

    from ziprerank_integrations.local import ZipReranker  # takes seconds: it imports torch

    with ZipReranker(chosen, **options, max_image_pixels=at.max_image_pixels) as reranker:
        say(f"model: {chosen}" + ("" if why is None else f" ({why}; --model takes another)"))
        if reranker.random_weights:
            say(f"warning: {chosen} has random weights, it was never trained: its rankings mean nothing")
        if key is None and host not in ("127.0.0.1", "localhost", "::1"):
            say(f"warning: whoever reaches {host}:{port} may use this server; --api-key-env sets a key")
        uvicorn.run(
            create_app(reranker, at),
            host=host,
            port=port,
            log_level="info",
            # What was accepted is finished, and no request takes longer than this.
            timeout_graceful_shutdown=int(at.timeout) + 5,
        )
