"""The house rules: who may import whom, and what importing costs. Each in a fresh interpreter."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ziprerank_integrations

ROOT = Path(ziprerank_integrations.__file__).parent
PAGES = {"page", "pages", "origins", "pdf", "pdf_pymupdf", "pdf_pdfium", "decode", "files", "fonts"}
PAGES |= {"textpage", "urls"}
CLIENT = {"wire", "answers", "outgoing", "refusals", "connections", "conversation", "retries", "sizes"}
LEAVES = {"errors", "windows", "prompts", "sizes"}
# By module, what it may import at its top; a convenience may import upwards inside a function.
MAY = {
    "": set(),
    "errors": set(),
    "windows": set(),
    "prompts": set(),
    "page": set(),
    "types": {"page", "errors"},
    "options": {"prompts", "errors"},
    "progress": set(),
    "report": {"types", "errors", "page", "fonts", "overlays", "sizes"},
    "overlays": {"types"},
    "explanation": {"types"},
    "engine": {*LEAVES, *PAGES, "types", "options", "engine"},
    "call": {*LEAVES, *PAGES, "types", "options", "progress", "explanation", "engine"},
    "local": {"engine", "explanation", "windows", "sizes", "types", "options", "errors", "call", *PAGES},
    "sizes": set(),
    "retries": set(),
    "wire": {"errors", "sizes"},
    "answers": {"types", "wire"},
    "outgoing": {*PAGES, "sizes", "wire"},
    "refusals": {"types", "errors"},
    "connections": {"outgoing", "sizes", "urls"},
    "conversation": {"errors", "refusals", "retries"},
    "remote": {*CLIENT, "types", "errors", "options"},
    "server": {*PAGES, "types", "errors", "options", "sizes", "wire", "answers", "server"},
    "connect": {"local", "remote", "connections", "types", "options"},
    "affinity": set(),
    "replicas": {"errors", "answers", "sizes", "types"},
    "cluster": {
        *(
            "errors",
            "affinity",
            "answers",
            "connect",
            "local",
            "options",
            "replicas",
            "server",
            "sizes",
            "types",
        )
    },
    **{name: {*PAGES, "types", "errors", "options"} for name in PAGES - {"page"}},
    "evaluation": {*PAGES, "types", "errors", "evaluation"},
    "training": {*PAGES, "sizes", "engine", "types", "errors", "options", "prompts"},
    "pagenumbers": {"pdf", "errors"},
    "hints": {"page", "pagenumbers", "errors"},
    "sources": {*PAGES, "hints", "pagenumbers", "options", "errors"},
    "documents": {*PAGES, "connect", "hints", "sources", "windows", "options", "types", "errors"},
    "settings": {"documents", "sources", "options", "types"},
    "llama_index": {"settings", "documents", "hints", "pagenumbers", "options", "errors"},
    "langchain": {"settings", "documents", "hints", "pagenumbers", "errors"},
    "haystack": set(),
}
SKINS = {"llama_index": "llama_index", "langchain": "langchain_core", "haystack": "haystack"}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def top_level_imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if (
                parts[0] == "ziprerank_integrations"
                and len(parts) > 1
                and (ROOT / parts[1]).with_suffix(".py").exists()
            ):
                found.add(parts[1])
            elif parts[0] == "ziprerank_integrations" and parts[1:2] in (["engine"], ["server"]):
                found.add(parts[1])
    return found


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_who_imports_whom(path: Path) -> None:
    module = module_of(path)
    if module in MAY:
        assert top_level_imports(path) - {module} <= MAY[module]
    if module not in SKINS:
        assert not top_level_imports(path) & set(SKINS)


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_engine_and_training_import_torch(path: Path) -> None:
    if module_of(path) in ("engine", "training"):
        return
    for node in ast.parse(path.read_text()).body:
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        assert not {"torch", "transformers"} & {str(name).partition(".")[0] for name in names}


def loaded_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


HEAVY = {"torch", "transformers", "llama_index.core", "langchain_core", "haystack", "pymupdf", "PIL.Image"}


@pytest.mark.parametrize(
    "code",
    [
        "import ziprerank_integrations",
        "from ziprerank_integrations import errors, prompts, windows, options",
        "from ziprerank_integrations import Page, Ranking, PageError",
    ],
)
def test_importing_is_light(code: str) -> None:
    assert not loaded_after(code) & HEAVY


def test_asking_a_server_loads_neither_torch_nor_a_server() -> None:
    code = "from ziprerank_integrations import RemoteReranker as R\nR('http://localhost:9').rerank('q', [])"
    assert not loaded_after(code) & {"torch", "transformers", "fastapi", "uvicorn", "ray", "pydantic"}


def test_making_a_reranker_and_ranking_nothing_loads_no_torch() -> None:
    code = (
        "from ziprerank_integrations import ZipReranker\nassert len(ZipReranker('tiny').rerank('q', [])) == 0"
    )
    assert not loaded_after(code) & {"torch", "transformers"}


def test_public_names() -> None:
    for name in ziprerank_integrations.__all__:
        assert getattr(ziprerank_integrations, name) is not None
        assert name in dir(ziprerank_integrations)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ziprerank_integrations.nothing  # noqa: B018


def test_no_file_is_longer_than_300_lines() -> None:
    top = ROOT.parent
    for path in [
        p
        for folder in ("ziprerank_integrations", "haystack_integrations", "tests", "scripts", "benchmarks")
        for p in (top / folder).rglob("*.py")
    ]:
        assert len(path.read_text().splitlines()) <= 300, path
