"""``ziprerank info``: versions, device, model and optional packages."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import warnings
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

import ziprerank_integrations
from ziprerank_integrations.cli.options import Model
from ziprerank_integrations.cli.rank import choose
from ziprerank_integrations.engine.checkpoint_config import CheckpointConfig, read, resolve
from ziprerank_integrations.errors import CheckpointError, ZipRerankError, import_problem
from ziprerank_integrations.options import MAX_WINDOW

PARTS = {
    "torch": ("torch", "local"),
    "transformers": ("transformers", "local"),
    "tokenizers": ("tokenizers", "local"),
    "safetensors": ("safetensors", "local"),
    "huggingface-hub": ("huggingface_hub", "local"),
    "pymupdf": ("pymupdf", "pdf"),
    "pypdfium2": ("pypdfium2", "pdfium"),
    "flash-attn": ("flash_attn", "flash"),
    "fastapi": ("fastapi", "server"),
    "uvicorn": ("uvicorn", "server"),
    "ray": ("ray", "ray"),
    "llama-index-core": ("llama_index.core", "llama-index"),
    "langchain-core": ("langchain_core", "langchain"),
    "haystack-ai": ("haystack", "haystack"),
}
"""Optional packages: the module of each, and the extra that installs it."""


def info(model: Model = None) -> None:
    """Show versions, the device, the model and the optional packages."""
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
    for package, (module, extra) in PARTS.items():
        table.add_row(package, _state(package, module, extra))
    console.print(table)


def _state(package: str, module: str, extra: str) -> Text:
    """Return a package's version, and why it cannot be imported if that is so."""
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        # Text, not a string: rich would read [extra] as markup.
        return Text(f"not installed: pip install 'ziprerank-integrations[{extra}]'", style="dim")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other packages, on import
        problem = import_problem(module)
    return Text(version) if problem is None else Text(f"{version}, {problem}", style="red")


def device() -> str:
    """Return the device that would be used, with details."""
    problem = import_problem("torch")
    if problem is not None:
        return f"unknown: torch {problem}"
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        memory = f"{free / 2**30:.0f} of {total / 2**30:.0f} GiB free"
        return f"cuda ({torch.cuda.get_device_name()}, {memory}, CUDA {torch.version.cuda})"
    if torch.backends.mps.is_available():
        return "mps"
    return f"cpu ({torch.get_num_threads()} threads)"


def describe(model: str | None) -> list[tuple[str, str]]:
    """Describe a model without downloading anything.

    Args:
        model: The model; None means the one that ``ziprerank rank`` would choose.

    Returns:
        Names and values.

    Raises:
        CheckpointError: If the model is not a checkpoint.
    """
    chosen, why = model, None
    if chosen is None:
        try:
            chosen, why = choose(None, None)
        except ZipRerankError as error:
            return [("model", str(error))]
    rows = [("model", chosen if why is None else f"{chosen} ({why})")]
    folder = resolve(chosen)
    if folder is None:
        folder = _downloaded(chosen)
        if folder is None:
            return [*rows, ("", "not downloaded; the first use reports its size")]
    try:
        return [*rows, *_config(read(folder))]
    except CheckpointError as error:
        if model is not None:
            raise
        # This model was not requested: that it is incomplete in the hub's cache is not an error here.
        return [*rows, ("", str(error))]


def _downloaded(model: str) -> Path | None:
    if import_problem("huggingface_hub") is not None:
        return None
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(model, "config.json")
    return Path(path).parent if isinstance(path, str) else None


def _config(config: CheckpointConfig) -> list[tuple[str, str]]:
    text, vision = config.raw["text_config"], config.raw["vision_config"]

    def count(config: dict[str, Any], name: str) -> str:
        value = config.get(name)
        return f"{value:,}" if isinstance(value, int) else "?"

    longest = "" if config.max_side is None else f", longest edge {config.max_side:,} px"
    levels = vision.get("deepstack_visual_indexes", [])
    deepstack = f", deepstack after {', '.join(map(str, levels))}" if levels else ""
    return [
        ("  folder", str(config.folder)),
        (
            "  language",
            f"{count(text, 'num_hidden_layers')} layers of {count(text, 'hidden_size')}, "
            f"{count(text, 'num_attention_heads')} heads, vocabulary of {count(text, 'vocab_size')}",
        ),
        (
            "  vision",
            f"{count(vision, 'depth')} layers of {count(vision, 'hidden_size')}, "
            f"{count(vision, 'num_heads')} heads, "
            f"{config.patch} px patches, {config.factor} px tokens{deepstack}",
        ),
        ("  pages", f"at most {config.max_pixels:,} pixels" + longest),
        ("  scorer", _scorer(config)),
        ("  weights", "random: its rankings mean nothing" if config.random_weights else "trained"),
    ]


def _scorer(config: CheckpointConfig) -> str:
    own = config.pointwise
    if own is None:
        return f"{config.scorer}: compares up to {MAX_WINDOW} pages at a time, scores are relative"
    text = f"{config.scorer}: each page alone, scores are absolute; {own.order}, {own.layers} layers"
    if own.order == "vision-first":
        text += f", query and page together in layers {own.band[0] + 1} to {own.band[1]}"
    return text
