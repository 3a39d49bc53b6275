"""The page to look at in the browser: ``add_page(app, …)`` adds it to the server's app."""

from __future__ import annotations

from ziprerank_integrations.demo.routes import add_page
from ziprerank_integrations.demo.scorers import Controls, Scorer
from ziprerank_integrations.demo.sessions import Sessions

__all__ = ["Controls", "Scorer", "Sessions", "add_page"]
