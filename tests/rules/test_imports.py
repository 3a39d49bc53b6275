"""Who may import whom, and what importing loads."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

import ziprerank_integrations
from tests.rules.package import imports, modules

BASE = "errors checks options scores pages types"
# By root module or folder, what it may import besides its own folder; anywhere in a file.
RULES = {
    "": "cascade errors local remote types",
    "errors": "",
    "cancellation": "errors",
    "scores": "",
    "fork": "",
    "atomic": "",
    "datafiles": "errors atomic",
    "checks": "errors",
    "options": "errors checks",
    "pages": "errors checks fork",
    "types": "pages",
    "wire": "errors checks scores pages types",
    "pictures": "errors checks scores pages types atomic",
    "engine": f"{BASE} atomic cancellation fork",
    "remote": f"{BASE} wire fork",
    "local": "cancellation engine pictures.explanation options pages types",
    "connect": "cascade local remote options types fork",
    "cascade": "errors checks options scores pages types",
    "server": "cancellation errors checks pages types wire",
    "documents": f"{BASE} connect",
    "cluster": f"{BASE} cancellation server connect local wire",
    "demo": "cancellation server errors pages types pictures",
    "llama_index": "documents options errors types",
    "langchain": "documents options errors types",
    "haystack": "documents options errors types",
    "training": "engine pages types errors checks options datafiles atomic remote.backoff",
    "evaluation": "pages types errors scores datafiles atomic",
}
UPWARDS = {("types", "pictures.contact_sheet")}  # Ranking.save
MODULES = modules()


def unit(module: str) -> str:
    return module.partition(".")[0]


def test_every_module_has_a_rule() -> None:
    assert {unit(name) for name in MODULES} - {"cli"} <= set(RULES)


@pytest.mark.parametrize("name", [name for name in MODULES if unit(name) != "cli"])
def test_a_module_imports_only_what_its_rule_lists(name: str) -> None:
    allowed = RULES[unit(name)].split()
    for imported in imports(MODULES[name]) - {name}:
        own_folder = name and unit(imported) == unit(name)
        listed = any(imported == rule or imported.startswith(f"{rule}.") for rule in allowed)
        assert own_folder or listed or (name, imported) in UPWARDS, f"{name} imports {imported}"


def test_there_are_no_circles() -> None:
    edges = {
        name: {
            other
            for other in imports(path, type_checking=False)
            if other != name and (name, other) not in UPWARDS
        }
        for name, path in MODULES.items()
    }
    path: list[str] = []
    done: set[str] = set()

    def visit(name: str) -> None:
        assert name not in path, " → ".join([*path[path.index(name) :], name])
        if name in done:
            return
        path.append(name)
        for other in sorted(edges[name]):
            visit(other)
        done.add(path.pop())

    for name in edges:
        visit(name)


@pytest.mark.parametrize("name", [name for name in MODULES if unit(name) not in ("engine", "training")])
def test_only_engine_and_training_import_torch(name: str) -> None:
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        heavy = {"torch", "transformers"} & {str(imported).partition(".")[0] for imported in names}
        # The type of an argument, and the versions that `ziprerank info` reports.
        assert not heavy or name in ("local", "cli.info")


def loaded_after(code: str) -> set[str]:
    completed = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(completed.stdout.split())


HEAVY = {"torch", "transformers", "llama_index.core", "langchain_core", "haystack", "pymupdf", "PIL.Image"}


@pytest.mark.parametrize(
    "code",
    [
        "import ziprerank_integrations",
        "from ziprerank_integrations import errors, checks, scores, options, datafiles",
        "from ziprerank_integrations import Page, Ranking, PageError; Page.from_pdf",
        "from ziprerank_integrations.engine import prompts, windows, engine, checkpoint_config",
    ],
)
def test_importing_is_light(code: str) -> None:
    assert not loaded_after(code) & (HEAVY - ({"PIL.Image"} if "engine" in code else set()))


def test_using_a_server_loads_neither_torch_nor_a_server() -> None:
    code = "from ziprerank_integrations import RemoteReranker as R\nR('http://localhost:9').rerank('q', [])"
    assert not loaded_after(code) & {"torch", "transformers", "fastapi", "uvicorn", "ray", "pydantic"}


def test_ranking_nothing_loads_no_torch() -> None:
    code = (
        "from ziprerank_integrations import ZipReranker\nassert len(ZipReranker('tiny').rerank('q', [])) == 0"
    )
    assert not loaded_after(code) & {"torch", "transformers"}


def test_the_server_loads_no_engine() -> None:
    assert not loaded_after("import ziprerank_integrations.server") & {
        "torch",
        "transformers",
        "ziprerank_integrations.engine",
        "ziprerank_integrations.connect",
    }


def test_public_names() -> None:
    for name in ziprerank_integrations.__all__:
        assert getattr(ziprerank_integrations, name) is not None
        assert name in dir(ziprerank_integrations)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ziprerank_integrations.nothing  # noqa: B018
