"""The server on a Ray Serve cluster: ``serve run ziprerank_integrations.cluster:app``, or ``:build_app``.

`ClusterArgs` lists the arguments of ``build_app``.
"""

from __future__ import annotations

from ziprerank_integrations.errors import require

for _module in ("ray.serve", "fastapi"):
    require(_module, "ray", purpose="ziprerank_integrations.cluster")

from ziprerank_integrations.cluster.app import ClusterArgs, app, build_app
from ziprerank_integrations.cluster.routing import PageRouter

__all__ = ["ClusterArgs", "PageRouter", "app", "build_app"]
