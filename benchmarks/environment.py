"""Where a benchmark runs, and what every result states: the command, the machine and the versions."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from ziprerank_integrations.engine.checkpoint import pick_device


def add_device_options(parser: argparse.ArgumentParser, *, threads: int | None = 1) -> None:
    """Add the options that `pick` reads; ``threads`` is the default, None that of torch."""
    parser.add_argument("--device", help="cuda, mps or cpu; the best available by default")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="bfloat16 on a GPU by default")
    parser.add_argument("--threads", type=int, default=threads, help="CPU threads for torch")


def pick(args: argparse.Namespace) -> tuple[torch.device, torch.dtype]:
    """Set the number of threads, and return the device and the dtype."""
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    device = pick_device(args.device)
    return device, getattr(torch, args.dtype or ("float32" if device.type == "cpu" else "bfloat16"))


def environment(module: str, arguments: Sequence[str] | None, device: torch.device) -> dict[str, Any]:
    """Return the command, the machine and the versions.

    Args:
        module: The module that runs.
        arguments: Its arguments; None is those of the process.
        device: Where it measures.
    """
    return {
        "command": " ".join([f"python -m {module}", *(sys.argv[1:] if arguments is None else arguments)]),
        "machine": _machine(device),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} threads"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def write(results: dict[str, Any], tables: str, path: Path | None) -> None:
    """Print the tables, and write the results to a JSON file and the tables beside it."""
    sys.stdout.write(tables)
    if path is not None:
        path.write_text(json.dumps(results, indent=1) + "\n")
        path.with_suffix(".md").write_text(tables)
