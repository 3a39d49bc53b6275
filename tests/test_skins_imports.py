"""What importing a skin loads, and what it says when its framework is missing; in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FRAMEWORKS = {"llama_index": "llama_index.core", "langchain": "langchain_core", "haystack": "haystack"}
CLASSES = {"llama_index": "ZipRerank", "langchain": "ZipRerank", "haystack": "ZipRerankRanker"}
skins = pytest.mark.parametrize("skin", FRAMEWORKS)


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


def loaded_after(code: str) -> set[str]:
    done = run(f"{code}\nimport sys; print('\\n'.join(name for name in sys.modules if sys.modules[name]))")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def without(*modules: str) -> str:
    """Give code that hides modules, as if they were not installed."""
    return (
        "import sys\n"
        "class Hidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name in {modules!r} or name.partition('.')[0] in {modules!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
    )


@skins
def test_importing_one_skin_loads_no_other_framework(skin: str) -> None:
    loaded = loaded_after(f"import ziprerank_integrations.{skin}")
    assert FRAMEWORKS[skin] in loaded
    others = {name for other, name in FRAMEWORKS.items() if other != skin} | {
        "langchain",
        "langchain_classic",
    }
    assert not loaded & others
    assert not loaded & {"transformers", "fastapi", "ray"}
    if skin != "haystack":  # Haystack itself imports torch where it is installed
        assert "torch" not in loaded


@skins
def test_a_skin_is_made_and_ranks_nothing_without_torch(skin: str) -> None:
    call = {
        "llama_index": "ranker.postprocess_nodes([], query_str='q') == []",
        "langchain": "ranker.compress_documents([], 'q') == []",
        "haystack": "ranker.run(query='q', documents=[]) == {'documents': []}",
    }
    loaded = loaded_after(
        without("torch", "transformers")
        + f"from ziprerank_integrations.{skin} import {CLASSES[skin]}\n"
        + f"ranker = {CLASSES[skin]}(model='tiny')\nassert {call[skin]}"
    )
    assert not loaded & {"torch", "transformers"}


@skins
def test_without_its_framework_a_skin_says_how_to_install_it(skin: str) -> None:
    extra = {"llama_index": "llama-index"}.get(skin, skin)
    done = run(without(FRAMEWORKS[skin]) + f"import ziprerank_integrations.{skin}")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ziprerank_integrations.errors.MissingDependencyError: ")
    assert last.endswith(f"pip install 'ziprerank-integrations[{extra}]'")
    assert f"ziprerank_integrations.{skin} needs" in last


def test_without_torch_the_first_ranking_says_how_to_install_it() -> None:
    done = run(
        without("torch")
        + "from langchain_core.documents import Document\n"
        + "from ziprerank_integrations.langchain import ZipRerank\n"
        + "ZipRerank(model='tiny').compress_documents([Document('words')], 'q')"
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].endswith("pip install 'ziprerank-integrations[local]'")


def test_without_a_pdf_library_a_pdf_without_a_number_is_its_text() -> None:
    code = (
        without("pymupdf", "fitz", "pypdfium2")
        + "import importlib.util, sys\n"
        + "find = importlib.util.find_spec\n"
        + "importlib.util.find_spec = lambda n, *a: None if n in ('pymupdf', 'pypdfium2') else find(n, *a)\n"
        + "from langchain_core.documents import Document\n"
        + "from ziprerank_integrations import RankedPage, Ranking\n"
        + "from ziprerank_integrations.langchain import ZipRerank\n"
        + "class Looker:\n"
        + "    def rerank(self, query, pages, *, top_n=None):\n"
        + "        [page.image() for page in pages]\n"
        + "        return Ranking((RankedPage(1, 0, 0.5, None, pages[0]),), query, 'looker')\n"
        + "def rank(**metadata):\n"
        + "    documents = [Document('words', metadata=metadata)]\n"
        + "    return ZipRerank(reranker=Looker()).compress_documents(documents, 'q')\n"
        + "assert len(rank(source='examples/data/annual_report.pdf')) == 1\n"
        + "rank(source='examples/data/annual_report.pdf', page=1)\n"
    )
    done = run(code)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "MissingDependencyError" in last and "pip install 'ziprerank-integrations[pdf]'" in last
