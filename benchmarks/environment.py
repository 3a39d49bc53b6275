"""What every result states: the command, the machine and the versions."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers


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
