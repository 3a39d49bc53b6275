"""The reranker behind HTTP: ``create_app(reranker)`` returns an ASGI app."""

from __future__ import annotations

from ziprerank_integrations.errors import require

for _module in ("fastapi", "msgspec", "python_multipart", "prometheus_client"):
    require(_module, "server", purpose="the server")

from ziprerank_integrations.server.app import create_app
from ziprerank_integrations.server.settings import ServerSettings

__all__ = ["ServerSettings", "create_app"]
