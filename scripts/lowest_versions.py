"""Write the lowest versions that pyproject.toml allows, as constraints for pip: ``name==floor``, one a line.

python scripts/lowest_versions.py dev --except torch > constraints.txt
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib  # type: ignore[no-redef]

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[([\w,-]+)\])?(?:>=([\d.]+))?")


def floors(project: dict[str, Any], extra: str) -> dict[str, str]:
    """Return the floor of each direct dependency of an extra, and of the extras that it includes.

    Args:
        project: The table ``project`` of a pyproject.toml.
        extra: The extra.

    Returns:
        Versions by name; of several floors of a package the highest.

    Raises:
        ValueError: If a dependency has no floor.
    """
    versions: dict[str, str] = {}
    requirements, extras = list(project["dependencies"]), [extra]
    for name in extras:
        requirements += project["optional-dependencies"][name]
        for requirement in project["optional-dependencies"][name]:
            package, included, _ = _parts(requirement)
            if package == project["name"]:
                extras += [other for other in included.split(",") if other not in extras]
    for requirement in requirements:
        package, _, version = _parts(requirement)
        if package == project["name"]:
            continue
        if not version:
            raise ValueError(f"{requirement!r} has no floor")
        versions[package] = max(version, versions.get(package, "0"), key=_number)
    return versions


def _parts(requirement: str) -> tuple[str, str, str]:
    match = _REQUIREMENT.match(requirement)
    if match is None:
        raise ValueError(f"{requirement!r} is not a requirement")
    return match[1], match[2] or "", match[3] or ""


def _number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("extra", help="the extra whose dependencies are listed")
    parser.add_argument("--except", dest="excepted", nargs="*", default=[], help="packages to leave out")
    arguments = parser.parse_args()
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    for package, version in sorted(floors(project, arguments.extra).items()):
        if package not in arguments.excepted:
            sys.stdout.write(f"{package}=={version}\n")


if __name__ == "__main__":
    main()
