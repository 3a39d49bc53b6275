"""The page to look at in the browser: ``add_page(app, …)`` adds it to the server's app."""

from __future__ import annotations

from ziprerank_integrations.demo.routes import add_page
from ziprerank_integrations.demo.scorers import Scorer

__all__ = ["Scorer", "add_page"]
