"""``ziprerank show``: a page in the browser, to try the reranker on one's own files."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ziprerank_integrations.cli.inputs import open_pages
from ziprerank_integrations.cli.options import SHOW, Model, with_options
from ziprerank_integrations.cli.rank import choose, report
from ziprerank_integrations.engine.checkpoint_config import TINY, TINY_POINTWISE, read, resolve
from ziprerank_integrations.errors import UnsupportedOptionError, require
from ziprerank_integrations.options import (
    CALL_OPTIONS,
    CASCADE_OPTIONS,
    CallOptions,
    CascadeOptions,
    EngineOptions,
)
from ziprerank_integrations.types import extended

if TYPE_CHECKING:
    from ziprerank_integrations.demo import Scorer
    from ziprerank_integrations.server.run import Server

_PORT = 8000
# At these, the bundled models rank 30 cached pages in about a second on two CPU cores. The pages of the
# pointwise one are pruned before they are cached: with fewer tokens it loses quality and gains no time.
_TINY_SIDE = 640
_TINY_KEEP_RATIOS = {"listwise": 0.25, "pointwise": 1.0, "cascade": 0.5}
_KEEP_RATIO = 0.5
_UNSEEN = ("cache_bytes", "compile", "max_image_pixels", "page_store")


@with_options(SHOW)
def show(
    files: Annotated[
        list[Path] | None, typer.Argument(help="PDFs and images that the page has at its start.")
    ] = None,
    model: Model = None,
    host: Annotated[str, typer.Option("--host", help="Loopback address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="Port. Default: 8000, or a free one if it is in use."),
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser, where there is one.")
    ] = True,
    timeout: Annotated[
        float | None, typer.Option("--timeout", help="Seconds that ranking the pages may take.")
    ] = None,
    **options: Any,
) -> None:
    """Show a page in the browser: drop PDFs, ask a question, see what the reranker does."""
    require("uvicorn", "server", purpose="ziprerank show")
    require("bm25s", "server", purpose="ziprerank show")
    from ziprerank_integrations.demo import Controls, Sessions, add_page
    from ziprerank_integrations.demo.examples import example_files
    from ziprerank_integrations.server import ServerSettings, create_app
    from ziprerank_integrations.server import run as runner
    from ziprerank_integrations.server.origin import check_origins, is_loopback

    if not is_loopback(host):
        raise ValueError(
            f"--host {host} is not a loopback address; the page has no key, and is for this machine only. "
            "ziprerank serve listens on other addresses"
        )
    paths = [path.resolve() for path in files or ()]
    open_pages(paths, None, "raise")  # a wrong file is reported before a model is loaded
    report("starting, which takes some seconds")
    settings = ServerSettings() if timeout is None else ServerSettings(timeout=timeout)
    # Threads that wait for one another in a loop take the cores from all other work of the machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    chosen, why = choose(model, options["device"])
    bundled = chosen == TINY
    if bundled and options["first_model"] is None:
        options["first_model"] = TINY_POINTWISE
    if bundled and options["max_side"] is None:
        options["max_side"] = _TINY_SIDE
    port = _free_port(host, _PORT) if port is None else port

    offered = _scorers(chosen, {**options, "max_image_pixels": settings.max_image_pixels})
    if bundled and options["keep_ratio"] is None:
        offered = [replace(scorer, keep_ratio=_TINY_KEEP_RATIOS[scorer.name]) for scorer in offered]
    app = create_app(offered[0].reranker, settings)
    sessions = Sessions(settings)
    add_page(
        app,
        offered,
        files=paths,
        examples=example_files(),
        controls=Controls(
            _KEEP_RATIO if options["keep_ratio"] is None else options["keep_ratio"],
            options["retriever_weight"],
        ),
        sessions=sessions,
    )
    check_origins(app, host)
    server = runner.server(app, host=host, port=port, log_level="warning")
    server.on_exit = sessions.cancel  # encoding a long PDF takes minutes
    report(f"model: {chosen}" + ("" if why is None else f" ({why}; --model selects another)"))
    _announce(server, host, open_browser and _has_browser())
    with contextlib.ExitStack() as stack:
        for scorer in offered:
            stack.callback(extended(scorer.reranker).close)
        runner.run(server)


def _scorers(model: str, options: dict[str, Any]) -> list[Scorer]:
    """Return what the page offers: the model alone, and with a first model that one alone and the cascade."""
    from ziprerank_integrations.cascade import Cascade
    from ziprerank_integrations.connect import local  # takes seconds: it imports torch
    from ziprerank_integrations.demo import Scorer
    from ziprerank_integrations.local import ZipReranker

    local(model, **options)  # checks the options together, and loads nothing
    # The page's controls set the other two.
    call = {
        name: options[name]
        for name in CALL_OPTIONS
        if name in options
        and name not in ("keep_ratio", "retriever_weight")
        and options[name] != getattr(CallOptions(), name)
    }
    engine = {
        name: value
        for name, value in options.items()
        if name not in (*CALL_OPTIONS, *CASCADE_OPTIONS, "scorer", "embedder")
    }

    # In the code that the page shows: what differs from the defaults and changes scores.
    shown = {
        name: value
        for name, value in engine.items()
        if name not in _UNSEEN and value != getattr(EngineOptions(), name)
    }

    def single(model: str, scorer: str | None, **own: Any) -> Scorer:
        reranker = local(model, scorer=scorer, **engine, **own)
        assert isinstance(reranker, ZipReranker)
        named = dict(shown) if scorer is None else {**shown, "scorer": scorer}
        for name, value in call.items():
            # An option goes to the models that support it, as in a cascade.
            with contextlib.suppress(UnsupportedOptionError):
                reranker = reranker.with_options(**{name: value})
                named[name] = value
        return Scorer(
            _scorer_name(model, scorer),
            reranker,
            {"model": model, **named},
            lambda query, page: reranker.explain(query, page).similarity,
        )

    first_model = options["first_model"]
    if first_model is None:
        return [single(model, options["scorer"], embedder=options["embedder"])]
    second = single(model, options["scorer"])
    first = single(first_model, options["first_scorer"], embedder=options["embedder"])
    cascade = Scorer(
        "cascade",
        Cascade(first.reranker, second.reranker, keep=options["first_keep"]),
        {
            **second.options,
            **call,
            **{
                name: options[name]
                for name in CASCADE_OPTIONS
                if options[name] != getattr(CascadeOptions(), name)
            },
        },
        second.explain,
    )
    # Two models of the same type have one name; the page offers the better one of them alone.
    return [second, cascade] if first.name == second.name else [second, first, cascade]


def _scorer_name(model: str, scorer: str | None) -> str:
    """Return ``listwise`` or ``pointwise``; listwise for a model of the hub that is not known yet."""
    folder = resolve(model)
    return "listwise" if folder is None else read(folder, scorer).scorer


def _free_port(host: str, port: int) -> int:
    """Return a port if it is free, else 0, which selects a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return 0
    return port


def _has_browser() -> bool:
    # On Linux without a display, webbrowser starts a browser of the terminal.
    return sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _announce(server: Server, host: str, open_browser: bool) -> None:
    """Print the page's address once the server listens, and open it."""

    def wait() -> None:
        while not server.started:
            if server.should_exit:
                return
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        report(f"the page is at {url} (Ctrl-C ends it)")
        if open_browser:
            webbrowser.open(url)

    threading.Thread(target=wait, name="ziprerank-announce", daemon=True).start()
