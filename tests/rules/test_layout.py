"""The layout: folders, public paths, a test file for each module, short files, plain words."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from tests.rules.package import REPOSITORY, ROOT, modules

PUBLIC = {
    "connect": ["connect"],
    "local": ["ZipReranker"],
    "remote": ["RemoteReranker"],
    "types": ["Page", "RankedPage", "Ranking", "Usage", "Evidence", "Reranker"],
    "errors": ["ZipRerankError", "PageError", "RemoteError", "QueryError", "EngineError", "CheckpointError"],
    "options": ["CallOptions", "EngineOptions"],
    "server": ["create_app", "ServerSettings"],
    "cluster": ["app", "build_app", "ClusterArgs", "PageRouter"],
    "cli": ["main"],
    "llama_index": ["ZipRerank"],
    "langchain": ["ZipRerank"],
    "haystack": ["ZipRerankRanker"],
    "training.records": [],
}
# Modules without a test file of their name, and where they are tested.
NO_TEST_FILE = {
    "documents.fields": "documents/test_finder.py searches them",
    "engine.embedder": "engine/scorers/test_pointwise_pruning.py compares it with a plain loop",
    "engine.engine": "local/test_local.py: loading, threads, closing",
    "engine.checkpoint": "engine/test_bad_checkpoints.py: what is refused; test_reference.py: what is loaded",
    "engine.features": "engine/test_encoder.py makes and compares them",
    "engine.model_runner": "engine/test_call.py runs it",
    "engine.qwen3vl": "engine/test_reference.py compares it with the stock model",
    "engine.scorers.base": "engine/scorers/test_scorers.py compares the scorers with it",
    "pages.pdf_worker": "pages/test_pdf_workers.py starts it",
    "server.body_model": "server/test_json_body.py decodes by it; test_openapi.py: the schema",
    "types": "local/test_local.py: rankings; documents/test_ranker.py: rerankers",
    "llama_index": "adapters/",
    "langchain": "adapters/",
    "haystack": "adapters/",
}


def test_the_root_folder_is_small() -> None:
    assert len(list(ROOT.glob("*.py"))) <= 16


@pytest.mark.parametrize("module", PUBLIC)
def test_public_paths(module: str) -> None:
    imported = importlib.import_module(f"ziprerank_integrations.{module}")
    for name in PUBLIC[module]:
        assert hasattr(imported, name), name


def test_the_haystack_namespace() -> None:
    from haystack_integrations.components.rankers.ziprerank import ZipRerankRanker

    assert importlib.import_module("ziprerank_integrations.haystack").ZipRerankRanker is ZipRerankRanker


def test_every_module_has_a_test_file() -> None:
    tests = REPOSITORY / "tests"
    missing = []
    for name, path in modules().items():
        *folders, last = name.split(".")
        if path.name in ("__init__.py", "__main__.py") or name in NO_TEST_FILE:
            continue
        if not tests.joinpath(*(folders or ["local"]), f"test_{last}.py").exists():
            missing.append(name)
    assert not missing
    assert set(NO_TEST_FILE) <= set(modules())


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (REPOSITORY / folder).rglob("*.py"))


CODE = ("ziprerank_integrations", "haystack_integrations")


def test_no_file_is_longer_than_400_lines() -> None:
    for path in sources(*CODE, "tests", "scripts", "benchmarks"):
        assert len(path.read_text().splitlines()) <= 400, path


WORDS = re.compile(
    r"\b(skins?|is no (?!longer|such)\w|cannot be had|(is|are) told|anew|whoever|gives? back|lets? go of)\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("path", sources(*CODE), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_plain_words(path: Path) -> None:
    text = path.read_text()
    assert not [match[0] for match in WORDS.finditer(text)]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)):
            docstring = ast.get_docstring(node) or ""
            assert not docstring.startswith(("Give", "Tell", "Let ", "Draw")), docstring.splitlines()[0]
