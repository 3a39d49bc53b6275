"""What importing an adapter loads, and its error where its framework is missing; in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRAMEWORKS = {"llama_index": "llama_index.core", "langchain": "langchain_core", "haystack": "haystack"}
CLASSES = {"llama_index": "ZipRerank", "langchain": "ZipRerank", "haystack": "ZipRerankRanker"}
adapters = pytest.mark.parametrize("adapter", FRAMEWORKS)

pytestmark = pytest.mark.slow  # every test starts an interpreter


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


def loaded_after(code: str) -> set[str]:
    done = run(f"{code}\nimport sys; print('\\n'.join(name for name in sys.modules if sys.modules[name]))")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def without(*modules: str) -> str:
    """Return code that hides modules, as if they were not installed."""
    return (
        "import sys\n"
        "class Hidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name in {modules!r} or name.partition('.')[0] in {modules!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
    )


@adapters
def test_importing_one_adapter_loads_no_other_framework(adapter: str) -> None:
    loaded = loaded_after(f"import ziprerank_integrations.{adapter}")
    assert FRAMEWORKS[adapter] in loaded
    others = {name for other, name in FRAMEWORKS.items() if other != adapter} | {
        "langchain",
        "langchain_classic",
    }
    assert not loaded & others
    assert not loaded & {"transformers", "fastapi", "ray"}
    if adapter != "haystack":  # Haystack itself imports torch where it is installed
        assert "torch" not in loaded


@adapters
def test_an_adapter_ranks_an_empty_list_without_torch(adapter: str) -> None:
    call = {
        "llama_index": "ranker.postprocess_nodes([], query_str='q') == []",
        "langchain": "ranker.compress_documents([], 'q') == []",
        "haystack": "ranker.run(query='q', documents=[]) == {'documents': []}",
    }
    loaded = loaded_after(
        without("torch", "transformers")
        + f"from ziprerank_integrations.{adapter} import {CLASSES[adapter]}\n"
        + f"ranker = {CLASSES[adapter]}(model='tiny')\nassert {call[adapter]}"
    )
    assert not loaded & {"torch", "transformers"}


@adapters
def test_the_error_without_the_framework_names_the_extra(adapter: str) -> None:
    extra = {"llama_index": "llama-index"}.get(adapter, adapter)
    done = run(without(FRAMEWORKS[adapter]) + f"import ziprerank_integrations.{adapter}")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ziprerank_integrations.errors.MissingDependencyError: ")
    assert last.endswith(f"pip install 'ziprerank-integrations[{extra}]'")
    assert f"ziprerank_integrations.{adapter} needs" in last


def test_the_error_without_torch_names_the_extra() -> None:
    done = run(
        without("torch")
        + "from langchain_core.documents import Document\n"
        + "from ziprerank_integrations.langchain import ZipRerank\n"
        + "ZipRerank(model='tiny').compress_documents([Document('words')], 'q')"
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].endswith("pip install 'ziprerank-integrations[local]'")


def test_without_a_pdf_library_a_pdf_without_a_number_is_ranked_by_its_text() -> None:
    code = (
        without("pymupdf", "fitz", "pypdfium2")
        + "from langchain_core.documents import Document\n"
        + "from ziprerank_integrations import RankedPage, Ranking\n"
        + "from ziprerank_integrations.langchain import ZipRerank\n"
        + "class Rendering:\n"
        + "    def rerank(self, query, pages, *, top_n=None):\n"
        + "        [page.image() for page in pages]\n"
        + "        return Ranking((RankedPage(1, 0, 0.5, None, pages[0]),), query, 'rendering')\n"
        + "def rank(**metadata):\n"
        + "    documents = [Document('words', metadata=metadata)]\n"
        + "    return ZipRerank(reranker=Rendering()).compress_documents(documents, 'q')\n"
        + "assert len(rank(source='examples/data/annual_report.pdf')) == 1\n"
        + "rank(source='examples/data/annual_report.pdf', page=1)\n"
    )
    done = run(code)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "MissingDependencyError" in last and "pip install 'ziprerank-integrations[pdf]'" in last
