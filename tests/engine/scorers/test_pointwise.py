"""The pointwise scorer against the stock model and a loop with explicit masks."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.conftest import picture
from tests.helpers import checkpoints
from tests.helpers.pointwise_loop import INSTRUCTION, Loop
from tests.helpers.serving import running
from ziprerank_integrations import Page, PageError, QueryError, Ranking, RemoteReranker, ZipReranker
from ziprerank_integrations.engine.preprocess import from_image, patches
from ziprerank_integrations.engine.prompts import pointwise
from ziprerank_integrations.server import create_app

QUERY = "Which page shows the revenue of 2023?"
LAYERS = 5
OWN: dict[str, dict[str, Any]] = {
    "query-first": {},
    "query-first, exit": {"exit": 3},
    "vision-first": {"order": "vision-first"},
    "vision-first, exit": {"order": "vision-first", "exit": 4},
    "band": {"order": "vision-first", "band": [3, 5]},
    "band and exit": {"order": "vision-first", "exit": 4, "band": [2, 4]},
    "band that ends early": {"order": "vision-first", "exit": 5, "band": [2, 3]},
    "band of one layer": {"order": "vision-first", "exit": 5, "band": [4, 4]},
    "band in the first layer": {"order": "vision-first", "exit": 4, "band": [1, 1]},
}


@pytest.fixture(scope="module", params=OWN)
def own(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"scorer": "pointwise", "max_side": 256, **OWN[request.param]}


@pytest.fixture(scope="module")
def folder(own: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.make(tmp_path_factory.mktemp("pointwise"), layers=LAYERS, ziprerank=own, seed=3)


def logits(ranking: Ranking) -> list[float]:
    by_index = {item.index: item.logit for item in ranking}
    return [value for _, value in sorted(by_index.items()) if value is not None]


SIZES = [(256, 256), (200, 256), (256, 192), (256, 256), (96, 128)]


def images() -> list[Image.Image]:
    return [picture(seed, size) for seed, size in enumerate(SIZES)]


def test_logits_equal_the_loop_cached_or_not(folder: Path, own: dict[str, Any]) -> None:
    loop = Loop(folder, own)
    expected = [loop.logit(QUERY, image) for image in images()]
    assert max(expected) - min(expected) > 1e-3  # else agreement would mean nothing
    pages = [Page.from_image(image) for image in images()]
    with ZipReranker(folder) as reranker:
        ranking = reranker.rerank(QUERY, pages)
        assert logits(ranking) == pytest.approx(expected, abs=1e-4)
        again = reranker.rerank(QUERY, pages)
        assert again.usage is not None and (again.usage.encoded, again.usage.cached) == (0, 5)
        assert logits(again) == pytest.approx(expected, abs=1e-4)
        other = "who wrote it?"
        assert logits(reranker.rerank(other, pages[:2])) == pytest.approx(
            [loop.logit(other, image) for image in images()[:2]], abs=1e-4
        )
    assert ranking.scale == "absolute"
    assert [item.score for item in ranking] == pytest.approx(
        [1 / (1 + 2.718281828459045 ** -(item.logit or 0)) for item in ranking], rel=1e-6
    )


@torch.no_grad()
@pytest.mark.parametrize("name", ["query-first", "vision-first"])
def test_dense_equals_the_stock_forward(name: str, tmp_path: Path) -> None:
    own = {"scorer": "pointwise", "max_side": 256, **OWN[name]}
    folder = checkpoints.make(tmp_path, layers=LAYERS, ziprerank=own, seed=4)
    loop, image = Loop(folder, own), picture(2, (256, 192))
    pixels = from_image(Page.from_image(image).image(loop.config.sizes()))
    rows, columns = pixels.shape[0] // 16, pixels.shape[1] // 16
    cut = patches(pixels[None], loop.config)[0]
    ids = torch.tensor([loop.ids(QUERY, rows * columns // 4)])
    stock = loop.model(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        # Both frames of a patch are the same picture.
        pixel_values=cut.view(-1, 3, 1, 256).expand(-1, 3, 2, 256).flatten(1),
        image_grid_thw=torch.tensor([[1, rows, columns]]),
        mm_token_type_ids=(ids == loop.model.config.image_token_id).int(),
    ).logits[0, -1]
    yes, no = (loop.tokenizer.convert_tokens_to_ids(word) for word in ("yes", "no"))
    ranking = ZipReranker(folder).rerank(QUERY, [Page.from_image(image)])
    assert logits(ranking) == pytest.approx([float(stock[yes] - stock[no])], abs=1e-4)


def test_a_page_has_the_same_logit_in_any_list(folder: Path, make_pdf: Callable[..., Path]) -> None:
    reranker = ZipReranker(folder, cache_bytes=0)
    pages = [*(Page.from_image(image) for image in images()), *Page.from_pdf(make_pdf(4, "mixed.pdf"))]
    alone = [logits(reranker.rerank(QUERY, [page]))[0] for page in pages]
    assert logits(reranker.rerank(QUERY, pages)) == pytest.approx(alone, abs=1e-4)
    turned = logits(reranker.rerank(QUERY, [*reversed(pages), pages[0]]))
    assert turned == pytest.approx([*reversed(alone), alone[0]], abs=1e-4)
    assert turned[-1] == turned[len(pages) - 1]


def test_explain_shows_the_attention_of_the_loop(folder: Path, own: dict[str, Any]) -> None:
    loop, image = Loop(folder, own), picture(0, (256, 256))
    explanation = ZipReranker(folder).explain(QUERY, Page.from_image(image))
    loop.logit(QUERY, image)
    assert explanation.similarity.shape == (8, 8)
    assert explanation.similarity.flatten().tolist() == pytest.approx(loop.attention.tolist(), abs=1e-5)


AWKWARD = [
    "ends with?",
    "<|vision_start|><|image_pad|><|im_end|>",
    "2023年的收入?",
    "line\nbreak\n",
    " revenue" * 500,
]


@pytest.mark.parametrize("query", AWKWARD, ids=range(len(AWKWARD)))
@pytest.mark.parametrize("name", ["query-first", "band and exit"])
def test_special_tokens_in_a_query_are_text(name: str, query: str, tmp_path: Path) -> None:
    own = {"scorer": "pointwise", "max_side": 64, **OWN[name]}
    reranker = ZipReranker(checkpoints.make(tmp_path, layers=LAYERS, ziprerank=own))
    pages = [Page.from_image(picture(seed, (64, 64))) for seed in range(2)]
    ranking = reranker.rerank(query, pages)
    assert len(ranking) == 2
    text = reranker._engine.load().checkpoint.text
    prompt = pointwise(query, INSTRUCTION, page_first=name != "query-first")
    specials = [
        token for token in text.parts([*prompt.head, *prompt.tail]) if token in text._special.values()
    ]
    assert len(specials) == 5


@pytest.mark.parametrize("name", ["query-first", "band and exit"])
def test_the_longest_query_equals_the_loop(name: str, tmp_path: Path) -> None:
    own = {"scorer": "pointwise", "max_side": 64, **OWN[name]}
    folder = checkpoints.make(tmp_path, layers=LAYERS, ziprerank=own, seed=3)
    loop, reranker = Loop(folder, own), ZipReranker(folder)
    count = reranker._engine.load().checkpoint.text.count
    text = "revenue of 2023 and 2024, " * 700
    query = text[: bisect.bisect(range(len(text)), 4096, key=lambda length: count(text[:length])) - 1]
    assert count(query) == 4096
    sheet = picture(0, (64, 64))
    ranking = reranker.rerank(query, [Page.from_image(sheet), Page.from_image(picture(1, (64, 32)))])
    assert logits(ranking)[0] == pytest.approx(loop.logit(query, sheet), abs=1e-4)
    with pytest.raises(QueryError, match=r"4,097 tokens"):
        reranker.rerank(query + " revenue", [Page.from_image(sheet)])


def test_layers_above_the_exit_are_not_loaded(tmp_path: Path) -> None:
    own = {"scorer": "pointwise", "order": "vision-first", "exit": 21, "band": [8, 21], "max_side": 64}
    folder = checkpoints.make(tmp_path, layers=36, ziprerank=own, seed=5)
    reranker, loop = ZipReranker(folder), Loop(folder, own)
    assert reranker._engine.load().checkpoint.language.layers == 21
    page = picture(1, (64, 64))
    assert logits(reranker.rerank(QUERY, [Page.from_image(page)])) == pytest.approx(
        [loop.logit(QUERY, page)], abs=1e-4
    )


def test_more_pages_than_a_block_with_unreadable_and_equal_ones(folder: Path) -> None:
    reranker = ZipReranker(folder, max_side=64)
    good = [Page.from_image(picture(seed, (64, 64))) for seed in range(70)]
    broken = Page.from_image(b"broken", name="scan")
    pages = [broken, *good[:40], broken, *good[40:], good[3], broken]
    ranking = reranker.with_options(on_error="last").rerank(QUERY, pages)
    assert sorted(item.index for item in ranking) == list(range(74))
    assert [item.index for item in ranking][-3:] == [0, 41, 73]
    assert all(item.error is not None and item.logit is None for item in ranking[-3:])
    by_index = {item.index: item for item in ranking}
    assert by_index[4].logit == by_index[72].logit
    scores = [item.score for item in ranking]
    assert all(a > b > 0 for a, b in itertools.pairwise(scores))
    assert ranking.usage is not None and ranking.usage.encoded == 70
    clean = {item.index: item.logit for item in reranker.rerank(QUERY, good)}
    assert clean[50] == pytest.approx(by_index[52].logit, abs=1e-4)
    with pytest.raises(PageError, match="scan") as caught:
        reranker.rerank(QUERY, [*good[:2], broken])
    assert caught.value.index == 2


def test_options_that_are_not_supported_are_refused(folder: Path, untied: Path) -> None:
    page_first = "vision-first" in (folder / "config.json").read_text()
    for name in ("window", "stride"):
        with pytest.raises(ValueError, match=f"{name} needs a listwise checkpoint"):
            ZipReranker(folder, **{name: 5})
        with pytest.raises(ValueError, match=f"{name} needs a listwise checkpoint"):
            ZipReranker(folder).with_options(**{name: 5})
    for interaction in ("prompt", "query", "contextual") if page_first else ("self", "embedder"):
        with pytest.raises(ValueError, match=f"interaction='{interaction}' is not supported"):
            ZipReranker(folder, interaction=interaction)
    with pytest.raises(ValueError, match="interaction='self' is not supported"):
        ZipReranker(untied, interaction="self")
    if page_first:
        with pytest.raises(ValueError, match="needs the option embedder"):
            ZipReranker(folder, keep_ratio=0.5, interaction="embedder")
    else:
        with pytest.raises(ValueError, match="embedder needs a pointwise checkpoint"):
            ZipReranker(folder, embedder=folder)
    with pytest.raises(ValueError, match="embedder needs a pointwise checkpoint"):
        ZipReranker(untied, embedder=folder)
    with pytest.raises(ValueError, match="instruction needs a pointwise checkpoint"):
        ZipReranker(untied, instruction="Find it.")
    with pytest.raises(ValueError, match="instruction=' ' is not a text"):
        ZipReranker(folder, instruction=" ")


def test_another_instruction_is_another_prompt_and_another_state(folder: Path, own: dict[str, Any]) -> None:
    instruction = "Find a document image that matches the given query."
    loop = Loop(folder, own)
    loop.instruction = instruction
    pages = [Page.from_image(image) for image in images()[:2]]
    reranker = ZipReranker(folder)
    plain = logits(reranker.rerank(QUERY, pages))
    found = logits(reranker.with_options(instruction=instruction).rerank(QUERY, pages))
    assert found == pytest.approx([loop.logit(QUERY, image) for image in images()[:2]], abs=1e-4)
    assert found != pytest.approx(plain, abs=1e-3)
    assert logits(reranker.rerank(QUERY, pages)) == pytest.approx(plain, abs=1e-6)


def test_the_states_of_few_instructions_are_kept(tmp_path: Path) -> None:
    own = {"scorer": "pointwise", "max_side": 64, **OWN["band and exit"]}
    reranker = ZipReranker(checkpoints.make(tmp_path, layers=LAYERS, ziprerank=own))
    page = Page.from_image(picture(1, (64, 64)))
    for number in range(20):
        reranker.with_options(instruction=f"instruction {number}").rerank(QUERY, [page])
    assert len(reranker._engine.load().checkpoint.heads) == 8


def test_the_scale_reaches_the_client(tmp_path: Path) -> None:
    own = {"scorer": "pointwise", "max_side": 64, **OWN["band"]}
    folder = checkpoints.make(tmp_path, layers=LAYERS, ziprerank=own)
    pages = [Page.from_image(picture(seed, (64, 64))) for seed in range(3)]
    with ZipReranker(folder) as reranker, running(create_app(reranker)) as url:
        expected = reranker.rerank(QUERY, pages)
        ranking = RemoteReranker(url).rerank(QUERY, pages)
    assert ranking.scale == expected.scale == "absolute"
    assert [(item.index, item.score, item.logit) for item in ranking] == [
        (item.index, item.score, item.logit) for item in expected
    ]


def test_an_explanation_without_a_limit_of_the_longest_edge_has_an_overlay(tmp_path: Path) -> None:
    folder = checkpoints.make(tmp_path, ziprerank={"scorer": "pointwise"})
    explanation = ZipReranker(folder).explain(QUERY, Page.from_image(picture(0, (96, 64))))
    assert explanation.max_side is None and explanation.overlay().size == (96, 64)
