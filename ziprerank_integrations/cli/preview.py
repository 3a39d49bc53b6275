"""``ziprerank rank --preview``: pictures of the best pages in the terminal."""

from __future__ import annotations

import os
import sys

from rich.console import Console

from ziprerank_integrations.cli import terminal
from ziprerank_integrations.errors import ZipRerankError, one_line, require
from ziprerank_integrations.pictures.contact_sheet import score_text
from ziprerank_integrations.pictures.overlays import dim
from ziprerank_integrations.types import Ranking

SHOWN = 3
_SIDE = 800
_LINES = 24


def check() -> None:
    """Check that the library that shows pictures is installed, and that there is a terminal.

    Raises:
        MissingDependencyError: If the library is not installed.
        ValueError: If the standard input or output is not a terminal, or is one without colours.
    """
    require("textual_image", "cli", purpose="--preview")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ValueError(
            "--preview shows pictures in a terminal, and the input or output is none; see --save and --html"
        )
    if os.environ.get("TERM") == "dumb":
        raise ValueError("--preview needs a terminal with colours, and TERM is dumb; see --save and --html")


def show(ranking: Ranking, *, top: int) -> None:
    """Print pictures of the best pages: sixel, Kitty's protocol, or blocks, as the terminal can.

    Args:
        ranking: The ranking.
        top: How many pages are shown.
    """
    picture = terminal.renderable()
    console = Console(highlight=False, no_color=False)  # NO_COLOR is about text, not pictures
    for item in ranking.items[:top]:
        console.print(f"\n{item.rank}  {score_text(item.score)}  {one_line(item.page.source)}", markup=False)
        if item.error is not None:
            console.print(one_line(item.error), markup=False)
            continue
        try:
            image = item.page.image(_SIDE)
        except (ZipRerankError, OSError, ValueError) as error:  # the file has been moved since
            console.print(one_line(error), markup=False)
            continue
        if item.evidence is not None:
            image = dim(image, item.evidence)
        console.print(picture(image, width="auto", height=min(_LINES, max(6, console.height - 4))))
