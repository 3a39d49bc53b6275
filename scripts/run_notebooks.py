"""Run the notebooks of examples/ from top to bottom and save them with their outputs.

    python scripts/run_notebooks.py [NOTEBOOK ...]

Differences between runs without meaning are removed: times, kernel versions, ids.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

# nbformat is only partly typed.
formats: Any = nbformat

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SECONDS = 120
# One core, float32 and no GPU, so that they run on any machine with the same results.
ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",
    "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    # A warning of tqdm without widgets; it contains a path of this machine.
    "PYTHONWARNINGS": "ignore:IProgress not found",
}
# Lines that Ray's C++ code writes without a logger, with a time and a process id.
BACKEND = re.compile(r"^(?:\x1b\[\w+)?\[?[\d-]+ [\d:,]+ [EIW] .*\.cc:\d+: .*\n", re.MULTILINE)
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebooks() -> list[Path]:
    """Return all notebooks in order."""
    return sorted(EXAMPLES.glob("*.ipynb"))


def execute(path: Path, folder: Path, seconds: int = SECONDS) -> Any:
    """Run one notebook and return it with its outputs.

    Args:
        path: The notebook; the file is not changed.
        folder: An empty working directory. It gets links to everything in examples/, so that relative paths
            work and files written by the notebook stay outside the repository.
        seconds: Time limit of one cell.

    Raises:
        CellExecutionError: If a cell fails.
    """
    for entry in EXAMPLES.iterdir():
        (folder / entry.name).symlink_to(entry)
    notebook = formats.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=seconds,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env={**os.environ, **ENVIRONMENT})
    return notebook


def tidy(notebook: Any) -> Any:
    """Normalise metadata and cell ids, and join consecutive parts of a stream."""
    notebook.metadata = formats.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"cell-{number:02}"
        cell.metadata = formats.from_dict({})
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
    return notebook


def _joined(outputs: list[Any]) -> list[Any]:
    joined: list[Any] = []
    for output in outputs:
        if output.output_type == "stream":
            output.text = BACKEND.sub("", output.text)
            if not output.text:
                continue
        data = output.get("data", {})
        # An image of Pillow is output as PNG and JPEG; the JPEG is much smaller.
        if "image/jpeg" in data:
            data.pop("image/png", None)
        # The address of an object differs between runs.
        if "text/plain" in data:
            data["text/plain"] = re.sub(r" at 0x[0-9a-f]+", "", data["text/plain"])
        last = joined[-1] if joined else None
        stream = output.output_type == "stream"
        if stream and last is not None and last.output_type == "stream" and last.name == output.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def main() -> None:
    """Run and save the given notebooks, or all."""
    parser = argparse.ArgumentParser(description="Run the notebooks of examples/ and save them in place.")
    parser.add_argument("notebooks", nargs="*", type=Path, default=notebooks())
    for path in parser.parse_args().notebooks:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            notebook = tidy(execute(path, Path(folder)))
        formats.validate(notebook)
        formats.write(notebook, path)
        sys.stdout.write(f"{path.name}: {time.monotonic() - start:.0f} s, {path.stat().st_size // 1000} kB\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
