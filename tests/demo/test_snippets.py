"""The code of a call: it compiles, and the plain Python one ranks as the page did."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.demo.helpers import QUERY, Tab
from ziprerank_integrations.demo import snippets
from ziprerank_integrations.demo.snippets import Call, Candidate

NASTY = """What's "in" it? \\ $HOME `id` ; @x #é {0} %s\n"""
PDF = (Candidate("a b.pdf", 2), Candidate("it's.pdf", 1), Candidate("a b.pdf", 1))
IMAGES = (Candidate("scan 1.png", None), Candidate("$x.png", None))
OPTIONS = {"model": "tiny", "keep_ratio": 0.25}
PROGRAMS = ["Python", "LlamaIndex", "LangChain", "Haystack"]


@pytest.mark.parametrize("candidates", [PDF, IMAGES, PDF + IMAGES])
@pytest.mark.parametrize("query", ["Why?", NASTY])
def test_every_program_compiles(candidates: tuple[Candidate, ...], query: str) -> None:
    codes = snippets.all_of(Call(query, candidates, OPTIONS, "http://127.0.0.1:1"))
    assert list(codes) == [*PROGRAMS, "Command line", "curl"]
    for name in PROGRAMS:
        compile(codes[name], name, "exec")
        assert repr(query) in codes[name]


def test_the_shell_receives_names_and_questions_unchanged() -> None:
    codes = snippets.all_of(Call(NASTY, PDF, OPTIONS, "http://127.0.0.1:1"))
    words = shlex.split(codes["Command line"])
    assert words[:4] == ["ziprerank", "rank", "a b.pdf", "it's.pdf"]
    assert words[words.index("--query") + 1] == NASTY
    words = shlex.split(codes["curl"], comments=True)
    assert f"query={NASTY}" in words and "pages=2,1" in words and 'file=@"a b.pdf"' in words


def test_images_are_sent_as_documents(tmp_path: Path) -> None:
    code = snippets.curl(Call(NASTY, IMAGES, OPTIONS, None))
    assert "/v1/rerank " in code and "http://127.0.0.1:8000" in code
    assert subprocess.run(["bash", "-n"], input=code, text=True).returncode == 0


def test_the_scores_of_the_first_stage_are_in_the_code_if_they_count() -> None:
    candidates = (Candidate("a.pdf", 2, 1.23456), Candidate("b.pdf", 1, None))
    codes = snippets.all_of(Call("Why?", candidates, {**OPTIONS, "retriever_weight": 0.3}, None))
    for name in PROGRAMS:
        compile(codes[name], name, "exec")
        assert "(0, 2, 1.2346), (1, 1, None)" in codes[name] and "retriever_weight=0.3" in codes[name]
    assert "prior=prior" in codes["Python"]
    assert "score=score" in codes["LlamaIndex"] and "score=score" in codes["Haystack"]
    assert "have no scores" in codes["LangChain"]
    assert (
        "no first stage" in codes["Command line"]
        and "weight" not in codes["Command line"].split("ziprerank")[1]
    )
    assert "retriever_weight=0.3" in codes["curl"]
    assert "retriever_weight" not in str(snippets.all_of(Call("Why?", candidates, OPTIONS, None)))


@pytest.mark.slow
@pytest.mark.parametrize(("scorer", "weight"), [("listwise", 0.0), ("listwise", 0.4), ("cascade", 0.4)])
def test_the_program_ranks_as_the_page_did(
    tab: Tab, scorer: str, weight: float, capsys: pytest.CaptureFixture[str]
) -> None:
    tab.client.post(f"{tab.path}/examples")
    result = tab.ask(QUERY, scorer=scorer, retriever_weight=weight)
    program = tab.get(f"answers/{result['answer']}/code").json()["snippets"]["Python"]
    exec(compile(program, "Python", "exec"), {"__name__": "__main__"})
    lines = [line.rsplit(" ", 1) for line in capsys.readouterr().out.splitlines()]
    files = tab.client.post(f"{tab.path}/examples").json()["files"]
    names = {page["id"]: f"{file['name']}, page {page['number']}" for file in files for page in file["pages"]}
    assert [line for line, _ in lines] == [
        f"{item['rank']} {names[item['page']]}" for item in result["results"]
    ]
    assert [float(score) for _, score in lines] == pytest.approx(
        [item["score"] for item in result["results"]], rel=1e-3
    )
