"""The bundled pointwise model: its scores, the parts of its circuit, and a few steps of its training."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase, Qwen3VLTextModel

from scripts.tiny.circuits import ALWAYS, TELLING, VALUE, VISUAL
from scripts.tiny.lists import PageList, PagePool, PageText
from scripts.tiny.word_statistics import WordStatistics
from scripts.tiny_pointwise import factors, pages
from scripts.tiny_pointwise.circuit import BAND, LAYERS
from scripts.tiny_pointwise.evaluate import area
from scripts.tiny_pointwise.model import PointwiseModel
from scripts.tiny_pointwise.train import initial_ranker
from tests.helpers import stock_model
from tests.helpers.checkpoints import TINY
from ziprerank_integrations import Page, ZipReranker
from ziprerank_integrations.engine.prompts import pointwise

FOLDER = TINY.with_name("tiny-pointwise")
REPORT = Path(__file__).resolve().parents[2] / "examples" / "data" / "annual_report.pdf"


@pytest.fixture(scope="module")
def reranker() -> ZipReranker:
    return ZipReranker("tiny-pointwise")


@pytest.fixture(scope="module")
def report() -> list[Page]:
    return list(Page.from_pdf(REPORT))


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return cast(PreTrainedTokenizerBase, AutoTokenizer.from_pretrained(TINY))


def test_the_checkpoint_is_small_and_declares_its_order() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 20_000_000
    config = json.loads((FOLDER / "config.json").read_text())
    assert config["text_config"]["num_hidden_layers"] == LAYERS
    assert config["ziprerank"] == {
        "scorer": "pointwise",
        "order": "vision-first",
        "exit": LAYERS,
        "band": [BAND + 1, BAND + 1],
        "max_side": 1024,
    }


def test_the_vision_tower_is_that_of_tiny() -> None:
    own, other = (load_file(folder / "model.safetensors") for folder in (FOLDER, TINY))
    names = [name for name in other if "visual" in name]
    assert names and all(torch.equal(own[name], other[name]) for name in names)


@pytest.mark.slow
def test_answerable_questions_rank_the_right_page_first_and_score_higher(
    reranker: ZipReranker, report: list[Page]
) -> None:
    answerable = {
        "What was the revenue in 2023?": 7,
        "By how much did the emissions of carbon dioxide fall?": 10,
    }
    best = []
    for question, page in answerable.items():
        ranking = reranker.rerank(question, report)
        assert ranking.scale == "absolute"
        assert ranking[0].page.number == page
        best.append(ranking[0].score)
    unanswerable = reranker.rerank("Which penguins live in Antarctica?", report)[0].score
    assert unanswerable < min(best) - 0.2


def exported(tokenizer: PreTrainedTokenizerBase) -> PointwiseModel:
    """Return the language model of the checkpoint as its training sees it."""
    tensors = load_file(FOLDER / "model.safetensors")
    prefix = "model.language_model."
    weights = {k.removeprefix(prefix): v.float() for k, v in tensors.items() if k.startswith(prefix)}
    model = cast(Any, Qwen3VLTextModel(cast(Any, AutoConfig.from_pretrained(FOLDER)).text_config)).float()
    model.load_state_dict(weights)
    return PointwiseModel(model, nn.Parameter(weights["embed_tokens.weight"]), tokenizer)


def made_up_page(words: list[str], tokenizer: PreTrainedTokenizerBase, document: int = 0) -> PageText:
    """Return a page whose visual tokens are the contents of words, with noise."""
    rows = initial_rows(tokenizer)
    cells = torch.zeros(16, rows.shape[1])
    for cell, word in zip(cells, words, strict=False):
        token = tokenizer(word, add_special_tokens=False)["input_ids"][0]
        noise = torch.randn(220, generator=torch.Generator().manual_seed(token))
        cell[:220] = 0.35 * rows[token, :220] + 0.5 * noise
    cells[:, VISUAL], cells[:, ALWAYS], cells[:, TELLING] = 5.0, 2.0, 1.0
    none = torch.zeros(0)
    return PageText(words, document, 4, 4, none, none, cells)


def initial_rows(tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    tensors = load_file(TINY / "model.safetensors")
    return next(tensor for name, tensor in tensors.items() if name.endswith("embed_tokens.weight")).float()


@pytest.fixture(scope="module")
def stats(tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> WordStatistics:
    rng = random.Random(0)
    documents = [" ".join(rng.sample(WORDS, 30)) for _ in range(40)] + ["of the and"] * 8000
    return WordStatistics(tokenizer, documents, tmp_path_factory.mktemp("words") / "counts.json")


WORDS = (
    "revenue profit energy solar customer delivery quality training safety budget market product "
    "contract supplier engine battery storage factory building office software network security "
    "printer window garden kitchen library museum station railway airport harbour bridge tunnel river "
    "mountain forest island weather climate winter summer doctor hospital school teacher student"
).split()


@torch.no_grad()
def test_only_the_querys_own_words_get_a_value(tokenizer: PreTrainedTokenizerBase) -> None:
    ranker = exported(tokenizer)
    prompt = pointwise("the solar revenue", "Find the solar query: document.", page_first=True)
    parts = [*prompt.head, *prompt.tail]
    ids = [i for part in parts for i in tokenizer(part, add_special_tokens=False)["input_ids"]]
    positions = torch.arange(len(ids)).expand(3, 1, -1)
    hidden, _ = ranker.language.run(ranker.rows[torch.tensor(ids)][None], positions, range(BAND))
    tokens = cast(list[str], tokenizer.convert_ids_to_tokens(ids))
    valued = [token for token, vector in zip(tokens, hidden[0], strict=True) if vector[VALUE] > 0.3]
    assert valued == ["solar", "revenue"]


@torch.no_grad()
def test_a_page_with_more_of_the_querys_words_has_a_higher_logit(tokenizer: PreTrainedTokenizerBase) -> None:
    ranker = exported(tokenizer)
    filler = ["museum", "harbour", "river"]
    shown = (["solar", "battery", "budget"], ["solar", "battery"], ["solar"], [])
    logits = ranker.logits("solar battery budget", [made_up_page(w + filler, tokenizer) for w in shown])
    steps = logits[:-1] - logits[1:]
    assert steps.min() > 0.3
    assert logits[0] > 0 > logits[-1]


def test_training_and_engine_compute_the_same_logits(
    tokenizer: PreTrainedTokenizerBase, reranker: ZipReranker
) -> None:
    image = Page.from_text("The library opens at nine. Solar panels cover the roof.")
    shown: NDArray[np.uint8] = np.asarray(image.image().convert("L").resize((256, 320)), np.uint8)
    model = stock_model.load(FOLDER)
    none = torch.zeros(0)
    page = PageText([], 0, 10, 8, none, none)
    page.features = pages.encode(model, page, shown)
    with torch.no_grad():
        expected = float(exported(tokenizer).logits("solar panels", [page])[0])
    ranking = reranker.rerank("solar panels", [Page.from_image(Image.fromarray(shown).convert("RGB"))])
    assert ranking[0].logit == pytest.approx(expected, abs=2e-3)


def made_up_lists(tokenizer: PreTrainedTokenizerBase, stats: WordStatistics) -> tuple[PagePool, PageList]:
    rng = random.Random(1)
    pool = PagePool([made_up_page(rng.sample(WORDS, 12), tokenizer, i) for i in range(40)], stats)
    example = None
    while example is None:
        example = pool.sample(8, rng)
    return pool, example


def test_a_factors_gradient_is_the_derivative_of_the_loss(
    tokenizer: PreTrainedTokenizerBase, stats: WordStatistics
) -> None:
    _, example = made_up_lists(tokenizer, stats)
    ranker = initial_ranker(tokenizer, stats)
    blocks = {block.name: block for block in factors.scaled_blocks(ranker)}
    loss = factors.loss(ranker.logits(example.query, example.pages), example, True)
    torch.autograd.backward(loss)
    for name in ("threshold 0", "yes 0 0", "bias", "final"):
        ends = []
        for factor in (1.02, 1 / 1.02):
            blocks[name].apply(torch.tensor(factor))
            with torch.no_grad():
                ends.append(float(factors.loss(ranker.logits(example.query, example.pages), example, True)))
        blocks[name].apply(torch.tensor(1.0))
        slope = (ends[0] - ends[1]) / (2 * torch.tensor(1.02).log().item())
        assert float(blocks[name].gradient()) == pytest.approx(slope, rel=0.05, abs=1e-3)


def test_training_lowers_the_loss_and_continues_where_it_stopped(
    tokenizer: PreTrainedTokenizerBase, stats: WordStatistics, tmp_path: Path
) -> None:
    pool, example = made_up_lists(tokenizer, stats)
    state = tmp_path / "factors.pt"
    ranker = initial_ranker(tokenizer, stats)
    with torch.no_grad():
        before = float(factors.loss(ranker.logits(example.query, example.pages), example, True))
    factors.train(ranker, pool, state, 16)
    assert torch.load(state, weights_only=True)["lists"] == 16
    again = initial_ranker(tokenizer, stats)
    factors.train(again, pool, state, 20)
    assert torch.load(state, weights_only=True)["lists"] == 20
    with torch.no_grad():
        after = float(factors.loss(again.logits(example.query, example.pages), example, True))
    assert after < before


def test_a_list_without_its_right_page_lowers_only_the_other_pages() -> None:
    example = PageList("", [], 1, torch.zeros(3))
    logits = torch.zeros(3, requires_grad=True)
    factors.loss(logits, example, False).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad[1] == 0
    assert logits.grad[0] > 0


def test_the_area_counts_ties_as_half() -> None:
    assert area([3.0, 1.0], [1.0, 0.0]) == pytest.approx(0.875)
