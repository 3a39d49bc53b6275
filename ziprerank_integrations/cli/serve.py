"""``ziprerank serve``: the reranker behind HTTP."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ziprerank_integrations.checks import key_from_env
from ziprerank_integrations.cli.options import SERVE, Model, with_options
from ziprerank_integrations.cli.rank import choose, report
from ziprerank_integrations.errors import require

_WORKERS = 4
"""Requests ranked at a time: a short one is not delayed by a long one, and while the device computes for one,
the next ones are prepared. The device itself runs one forward pass at a time."""


@with_options(SERVE)
def serve(
    model: Model = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on.")] = 8000,
    api_key_env: Annotated[
        str | None, typer.Option("--api-key-env", help="Environment variable with the key that clients send.")
    ] = None,
    no_api_key: Annotated[
        bool, typer.Option("--no-api-key", help="Listen on a --host of a network without a key.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="Further Host that requests may name, as a proxy's."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option("--allow-origin", help="Origin whose web pages may use the server (CORS)."),
    ] = None,
    share_usage: Annotated[
        bool, typer.Option("--share-usage", help="Report cached pages although clients share the server.")
    ] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", help="Seconds that a request may take.")
    ] = None,
    max_waiting: Annotated[
        int | None, typer.Option("--max-waiting", help="Requests that may wait in the queue.")
    ] = None,
    allow_urls: Annotated[
        bool | None, typer.Option("--allow-urls", help="Fetch images from URLs in requests.")
    ] = None,
    max_connections: Annotated[
        int | None, typer.Option("--max-connections", help="Connections at a time. Default: 512.")
    ] = None,
    head_timeout: Annotated[
        float | None,
        typer.Option("--head-timeout", help="Seconds for the headers of a request. Default: 10."),
    ] = None,
    **options: Any,
) -> None:
    """Run a reranking server. On SIGTERM it finishes the requests that it has accepted."""
    require("uvicorn", "server", purpose="ziprerank serve")
    from ziprerank_integrations.server import ServerSettings, create_app
    from ziprerank_integrations.server import run as runner
    from ziprerank_integrations.server.origin import check_origins, is_loopback

    api_key = None if api_key_env is None else key_from_env(api_key_env)
    if api_key is None and not no_api_key and not is_loopback(host):
        message = (
            f"anyone who can connect to {host} could use this server; set --api-key-env, or --no-api-key"
        )
        raise ValueError(message)
    # None leaves the default to ServerSettings, which needs the extra 'server'.
    limits = {"timeout": timeout, "max_waiting": max_waiting, "allow_urls": allow_urls}
    settings = ServerSettings(
        api_key=api_key,
        workers=_WORKERS,
        on_error=options["on_error"],
        # On the loopback interface without a key, there is one user.
        share_usage=True if share_usage else None if is_loopback(host) else False,
        **{name: value for name, value in limits.items() if value is not None},  # type: ignore[arg-type]
    )
    chosen, why = choose(model, options["device"])

    from ziprerank_integrations.connect import local  # takes seconds: it imports torch

    with local(chosen, **options, max_image_pixels=settings.max_image_pixels) as reranker:
        app = create_app(reranker, settings)
        check_origins(app, host, allow_host or (), allow_origin or ())
        connections = {"max_connections": max_connections, "head_timeout": head_timeout}
        server = runner.server(
            app,
            host=host,
            port=port,
            **{name: value for name, value in connections.items() if value is not None},  # type: ignore[arg-type]
        )
        report(f"model: {reranker.model}" + ("" if why is None else f" ({why}; --model selects another)"))
        if reranker.random_weights:
            name = reranker.model
            report(f"warning: {name} has random weights, it was never trained: its rankings mean nothing")
        runner.run(server)
