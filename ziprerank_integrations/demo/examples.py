"""The example files that a tab can add by a button."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent
# In the wheel beside this file, in a clone of the repository in its own folder.
_FOLDERS = (_FOLDER / "examples", _FOLDER.parents[1] / "examples" / "data")


def example_files() -> list[Path]:
    """Return the example PDFs; an empty list if this installation has none."""
    for folder in _FOLDERS:
        files = sorted(folder.glob("*.pdf"))
        if files:
            return files
    return []
