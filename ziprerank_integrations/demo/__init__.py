"""The page to look at in the browser: ``add_page(app, …)`` adds it to the server's app."""

from __future__ import annotations

from ziprerank_integrations.demo.routes import add_page
from ziprerank_integrations.demo.scorers import Controls, Scorer

__all__ = ["Controls", "Scorer", "add_page"]
