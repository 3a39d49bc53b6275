"""The modules of the package and their imports, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import ziprerank_integrations

PACKAGE = "ziprerank_integrations"
ROOT = Path(ziprerank_integrations.__file__).parent
REPOSITORY = ROOT.parent


def modules() -> dict[str, Path]:
    """Return the file of each module by its dotted name below the package; ``""`` is the package itself."""
    names = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports(path: Path, *, type_checking: bool = True) -> set[str]:
    """Return the package's modules that a file imports anywhere, functions included.

    Args:
        path: The file.
        type_checking: Whether imports under ``if TYPE_CHECKING`` count.
    """
    known = modules()
    result = set()
    for name in _imported(ast.parse(path.read_text()), type_checking):
        if name == PACKAGE or name.startswith(f"{PACKAGE}."):
            below = name.removeprefix(PACKAGE).removeprefix(".")
            while below and below not in known:  # a name in a module, not a module
                below = below.rpartition(".")[0]
            result.add(below)
    return result - {""}


def _imported(node: ast.AST, type_checking: bool) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING" and not type_checking:
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module is not None:
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        else:
            yield from _imported(child, type_checking)
