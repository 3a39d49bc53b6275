"""The bundled model ranks the right pages first, on small samples, with margins to its card's figures."""

from __future__ import annotations

import importlib
import json
import random
import re
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.checkpoints import TINY
from ziprerank_integrations import Page, ZipReranker

DATA = Path(__file__).resolve().parents[2] / "examples" / "data"
MODULES = (
    "argparse asyncio base64 bisect calendar cmd code codecs collections configparser contextlib "
    "copy csv datetime difflib dis doctest email enum filecmp fnmatch fractions functools gettext "
    "glob gzip heapq hmac imaplib inspect ipaddress json keyword linecache locale logging mailbox "
    "mimetypes netrc optparse pathlib pdb pickle platform pprint profile queue random re sched "
    "selectors shelve shlex shutil smtplib socketserver sqlite3 ssl statistics string subprocess "
    "symtable tempfile textwrap threading timeit tokenize trace traceback types typing unittest "
    "urllib uuid warnings wave weakref webbrowser zipfile "
).split()


@pytest.fixture(scope="module")
def tiny() -> ZipReranker:
    return ZipReranker("tiny")


def test_the_checkpoint_matches_its_card() -> None:
    assert sum(path.stat().st_size for path in TINY.iterdir()) <= 20_000_000
    config = json.loads((TINY / "config.json").read_text())
    assert config["architectures"] == ["Qwen3VLForConditionalGeneration"]
    assert config["vision_config"]["deepstack_visual_indexes"]
    assert not ZipReranker("tiny").random_weights


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pdf", "question", "page"),
    [
        ("annual_report.pdf", "What was the revenue in 2023?", 7),
        ("library_slides.pdf", "What does the roof cost?", 4),
    ],
)
def test_the_examples_rank_the_right_page_first(
    tiny: ZipReranker, pdf: str, question: str, page: int
) -> None:
    ranking = tiny.with_options(keep_ratio=0.25).rerank(question, Page.from_pdf(DATA / pdf))
    assert ranking[0].page.number == page


def passages() -> list[str]:
    """Return passages of Python's own documentation."""
    texts = []
    for name in MODULES:
        text = " ".join((importlib.import_module(name).__doc__ or "").split())
        if len(text) > 200:
            texts.append(textwrap.shorten(text, 420, placeholder=""))
    return texts


def hits(reranker: ZipReranker, pages: int, lists: int) -> int:
    texts = passages()
    words = [set(re.findall(r"[a-z]{4,12}", text.lower())) for text in texts]
    counts = Counter(word for each in words for word in each)
    rng = random.Random(0)
    right = 0
    for _ in range(lists):
        chosen = rng.sample(range(len(texts)), pages)
        wanted = rng.randrange(pages)
        rare = sorted(words[chosen[wanted]], key=lambda word: (counts[word], word))[:12]
        query = " ".join(rng.sample(rare, min(4, len(rare))))
        ranking = reranker.rerank(query, [Page.from_text(texts[i]) for i in chosen], top_n=1)
        right += ranking[0].index == wanted
    return right


@pytest.mark.slow
@pytest.mark.parametrize(("keep_ratio", "least"), [(1.0, 15), (0.25, 15)])
def test_passages_are_found_by_their_words(tiny: ZipReranker, keep_ratio: float, least: int) -> None:
    # 0.9 on the card; by chance 2.5 of 20 would be right.
    assert hits(tiny.with_options(keep_ratio=keep_ratio), pages=8, lists=20) >= least
