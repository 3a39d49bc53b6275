"""CONTRIBUTING.md: the files, names and make targets that it mentions exist, and its tree is complete."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "ziprerank_integrations"
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").replace("\\_", "_")
TREE = TEXT.partition("```\nziprerank_integrations/\n")[2].partition("\nhaystack_integrations/")[0]


def located_names() -> set[tuple[str, str]]:
    """Return the pairs of a name and the file in which the text locates it."""
    after = re.findall(r"`([\w.]+)`,?\s*\(?([a-z_0-9]+/[\w/]+\.py|[a-z_]+\.py)", TEXT)
    before = [(name, file) for file, name in re.findall(r"([\w/]+\.py), `(\w+)`", TEXT)]
    return {*after, *before}


def test_the_tree_has_every_module_and_folder_of_the_root() -> None:
    listed = {line.split()[0] for line in TREE.splitlines() if re.match(r"  \w", line)}
    modules = {path.name for path in PACKAGE.glob("*.py")}
    folders = {f"{path.name}/" for path in PACKAGE.iterdir() if path.is_dir() and path.name[0] != "_"}
    assert listed == modules | folders


def test_mentioned_files_exist() -> None:
    files = set(re.findall(r"(?<![\w/…])([\w-]+(?:/[\w-]+)*\.(?:py|md))\b", TEXT))
    assert len(files) > 30
    folders = (ROOT, PACKAGE)
    missing = {file for file in files if not any((folder / file).is_file() for folder in folders)}
    assert missing <= {"utils.py"}


def test_mentioned_names_are_defined_in_their_files() -> None:
    names = located_names()
    assert len(names) > 30
    for name, file in names:
        code = (PACKAGE / file).read_text(encoding="utf-8")
        last = name.rpartition(".")[2]
        defined = rf"^\s*(?:class|(?:async )?def) {last}\b|^{last}\b.* = |\"{last}\""
        assert re.search(defined, code, re.MULTILINE), f"{name} in {file}"


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z]+)\b", TEXT)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
