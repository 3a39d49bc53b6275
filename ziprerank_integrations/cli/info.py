"""``ziprerank info``: versions, device, model, and what is installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

import ziprerank_integrations
from ziprerank_integrations.cli.ranking import choose
from ziprerank_integrations.engine.folder import Geometry, find, inspect
from ziprerank_integrations.errors import CheckpointError, ZipRerankError

PARTS = {
    "torch": "local",
    "transformers": "local",
    "tokenizers": "local",
    "safetensors": "local",
    "huggingface-hub": "local",
    "pymupdf": "pdf",
    "pypdfium2": "pdfium",
    "flash-attn": "flash",
    "fastapi": "server",
    "uvicorn": "server",
    "ray": "ray",
    "llama-index-core": "llama-index",
    "langchain-core": "langchain",
    "haystack-ai": "haystack",
}
"""What can be installed beside the package, and the extra that brings it."""


def show(model: str | None) -> None:
    """Print what a person or a bug report needs to know about this installation.

    Args:
        model: Which model to describe; None means the one that ``ziprerank rank`` would take.

    Raises:
        CheckpointError: If the model asked for is none.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100_000)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("ziprerank-integrations", ziprerank_integrations.__version__)
    table.add_row("python", f"{platform.python_version()} on {platform.platform(terse=True)}")
    table.add_row("device", device())
    table.add_row("", "")
    for name, value in describe(model):
        table.add_row(name, Text(value))
    table.add_row("", "")
    for package, extra in PARTS.items():
        try:
            state = Text(importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            # Text, not a string: rich would take [extra] for markup.
            state = Text(f"not installed: pip install 'ziprerank-integrations[{extra}]'", style="dim")
        table.add_row(package, state)
    console.print(table)


def device() -> str:
    """Say which device would be used, and what it is."""
    if importlib.util.find_spec("torch") is None:
        return "unknown: torch is not installed"
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        memory = f"{free / 2**30:.0f} of {total / 2**30:.0f} GiB free"
        return f"cuda ({torch.cuda.get_device_name()}, {memory}, CUDA {torch.version.cuda})"
    if torch.backends.mps.is_available():
        return "mps"
    return f"cpu ({torch.get_num_threads()} threads)"


def describe(model: str | None) -> list[tuple[str, str]]:
    """Say what is known of a model without downloading anything.

    Returns:
        Names and values.

    Raises:
        CheckpointError: If the model is no checkpoint.
    """
    chosen, why = model, None
    if chosen is None:
        try:
            chosen, why = choose(None, None)
        except ZipRerankError as error:
            return [("model", str(error))]
    rows = [("model", chosen if why is None else f"{chosen} ({why})")]
    folder = find(chosen)
    if folder is None:
        folder = _downloaded(chosen)
        if folder is None:
            return [*rows, ("", "not downloaded yet; the first use will say how much it is")]
    if model is not None:
        return [*rows, *_geometry(inspect(folder))]
    try:
        return [*rows, *_geometry(inspect(folder))]
    except CheckpointError as error:
        # Nobody asked for this model: that half of it is in the hub's cache is no failure of this command.
        return [*rows, ("", str(error))]


def _downloaded(model: str) -> Path | None:
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def _geometry(geometry: Geometry) -> list[tuple[str, str]]:
    text, vision = geometry.config["text_config"], geometry.config["vision_config"]

    def of(config: dict[str, Any], name: str) -> str:
        value = config.get(name)
        return f"{value:,}" if isinstance(value, int) else "?"

    levels = vision.get("deepstack_visual_indexes", [])
    deepstack = f", deepstack after {', '.join(map(str, levels))}" if levels else ""
    return [
        ("  folder", str(geometry.folder)),
        (
            "  language",
            f"{of(text, 'num_hidden_layers')} layers of {of(text, 'hidden_size')}, "
            f"{of(text, 'num_attention_heads')} heads, vocabulary of {of(text, 'vocab_size')}",
        ),
        (
            "  vision",
            f"{of(vision, 'depth')} layers of {of(vision, 'hidden_size')}, {of(vision, 'num_heads')} heads, "
            f"{geometry.patch} px patches, {geometry.factor} px tokens{deepstack}",
        ),
        ("  pages", f"longest edge {geometry.max_side:,} px, scorer {geometry.scorer}"),
        ("  weights", "random: rankings mean nothing" if geometry.random_weights else "trained"),
    ]
