"""Pruned pages of the pointwise scorer against the plain loop, and what selects their tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import AutoTokenizer

from tests.conftest import picture
from tests.engine.scorers.test_pointwise import LAYERS, OWN, QUERY, images, logits
from tests.helpers import checkpoints
from tests.helpers.pointwise_loop import Loop
from ziprerank_integrations import CheckpointError, Page, Ranking, ZipReranker

PAGE_FIRST = [name for name, own in OWN.items() if own.get("order") == "vision-first"]


def make(folder: Path, own: dict[str, Any], seed: int = 3) -> Path:
    key = {"scorer": "pointwise", "max_side": 256, **own}
    return checkpoints.make(folder, layers=LAYERS, ziprerank=key, seed=seed)


def kept(ranking: Ranking) -> list[list[int]]:
    by_index = {item.index: item.evidence for item in ranking}
    return [list(evidence.kept) for _, evidence in sorted(by_index.items()) if evidence is not None]


def strongest(values: list[float], keep_ratio: float) -> list[int]:
    best = sorted(range(len(values)), key=lambda index: (-values[index], index))
    return sorted(best[: max(1, round(keep_ratio * len(values)))])


@pytest.mark.parametrize("keep_ratio", [0.5, 0.01])
@pytest.mark.parametrize("name", PAGE_FIRST)
def test_pages_pruned_by_their_own_attention_equal_the_loop(
    name: str, keep_ratio: float, tmp_path: Path
) -> None:
    folder = make(tmp_path, OWN[name])
    loop = Loop(folder, OWN[name])
    pages = [Page.from_image(image) for image in images()]
    with ZipReranker(folder, keep_ratio=keep_ratio) as reranker:
        ranking = reranker.rerank(QUERY, pages)
        again = reranker.rerank(QUERY, pages)
        plain = reranker.with_options(keep_ratio=1.0).rerank(QUERY, pages)
    for image, indices in zip(images(), kept(ranking), strict=True):
        values = loop.received(loop.text(QUERY), image, None).tolist()
        assert indices == strongest(values, keep_ratio)
    expected = [
        loop.logit(QUERY, image, indices) for image, indices in zip(images(), kept(ranking), strict=True)
    ]
    assert logits(ranking) == pytest.approx(expected, abs=1e-4)
    assert logits(again) == pytest.approx(expected, abs=1e-4) and kept(again) == kept(ranking)
    assert logits(plain) != pytest.approx(expected, abs=1e-4)
    usage = again.usage
    assert usage is not None and (usage.encoded, usage.prepared, usage.cached) == (0, 0, 5)
    assert usage.tokens_after == sum(map(len, kept(ranking))) < usage.tokens_before
    assert ranking.usage is not None and ranking.usage.prepared == 5 and ranking.usage.ms["page"] > 0


@pytest.mark.parametrize("interaction", ["prompt", "query", "contextual"])
@pytest.mark.parametrize("name", ["query-first", "query-first, exit"])
def test_pages_pruned_by_the_query_equal_the_loop(name: str, interaction: Any, tmp_path: Path) -> None:
    folder = make(tmp_path, OWN[name])
    loop = Loop(folder, OWN[name])
    pages = [Page.from_image(image) for image in images()]
    ranking = ZipReranker(folder, keep_ratio=0.4, interaction=interaction).rerank(QUERY, pages)
    for image, indices in zip(images(), kept(ranking), strict=True):
        hidden, angles, visual, _ = loop.sequence(loop.text(QUERY), image)
        head = int(visual.nonzero()[0]) - 1
        rows = list(range(head)) if interaction == "prompt" else loop.query_tokens(QUERY, int(visual.sum()))
        text = hidden[:, :head]
        if interaction == "contextual":
            mask = torch.full((head, head), float("-inf")).triu(1)[None, None]
            with torch.no_grad():
                for layer in loop.layers:
                    rotations = tuple(part[:, :head] for part in angles)
                    text = layer(text, position_embeddings=rotations, attention_mask=mask)
                text = loop.model.model.language_model.norm(text)
        cosines = F.normalize(hidden[0, visual], dim=-1) @ F.normalize(text[0, rows], dim=-1).T
        assert indices == strongest(cosines.amax(1).tolist(), 0.4)
    expected = [
        loop.logit(QUERY, image, indices) for image, indices in zip(images(), kept(ranking), strict=True)
    ]
    assert logits(ranking) == pytest.approx(expected, abs=1e-4)


EMBEDDING = (
    "<|im_start|>system\nRepresent the user's input.<|im_end|>\n<|im_start|>user\n"
    "<|vision_start|><|image_pad|><|vision_end|><|im_end|>\n<|im_start|>assistant\n"
)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "end token"])
def embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose tokenizer appends a token, as embedding models' do, or does not."""
    folder = checkpoints.make(tmp_path_factory.mktemp("embedder"), layers=3, seed=11)
    if request.param:
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        end = next(token for token in tokenizer["added_tokens"] if token["content"] == "<|endoftext|>")
        template = {
            "type": "TemplateProcessing",
            "single": [
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": end["content"], "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {
                end["content"]: {"id": end["content"], "ids": [end["id"]], "tokens": [end["content"]]}
            },
        }
        tokenizer["post_processor"] = template
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        assert AutoTokenizer.from_pretrained(folder)("x")["input_ids"][-1] == end["id"]
    return folder


@pytest.mark.parametrize("name", ["vision-first, exit", "band and exit"])
def test_pages_pruned_by_an_embedder_equal_the_loop(name: str, embedder: Path, tmp_path: Path) -> None:
    own = {**OWN[name], "keep_ratio": 0.5, "selection": "embedder"}
    folder = make(tmp_path, own)
    loop, selecting = Loop(folder, own), Loop(embedder, {})
    pages = [Page.from_image(image) for image in images()]
    ranking = ZipReranker(folder, embedder=embedder).rerank(QUERY, pages)
    for image, indices in zip(images(), kept(ranking), strict=True):
        selecting.config = loop.config  # the sizes are those of the reranker
        values = selecting.received(EMBEDDING, image, -1).tolist()
        assert indices == strongest(values, 0.5)
    expected = [
        loop.logit(QUERY, image, indices) for image, indices in zip(images(), kept(ranking), strict=True)
    ]
    assert logits(ranking) == pytest.approx(expected, abs=1e-4)
    own_attention = ZipReranker(folder, interaction="self").rerank(QUERY, pages)
    assert kept(own_attention) != kept(ranking)


def test_states_differ_by_ratio_selection_and_embedder(embedder: Path, tmp_path: Path) -> None:
    folder = make(tmp_path / "model", OWN["band and exit"])
    other = checkpoints.make(tmp_path / "other", layers=3, seed=12)
    page = [Page.from_image(picture(1, (256, 192)))]
    store = tmp_path / "store"
    seen = []
    for options in (
        {"keep_ratio": 1.0},
        {"keep_ratio": 0.5},
        {"keep_ratio": 0.4},
        {"keep_ratio": 0.5, "interaction": "embedder", "embedder": embedder},
        {"keep_ratio": 0.5, "interaction": "embedder", "embedder": other},
    ):
        for expected in (1, 0):  # another process would find it in the store
            with ZipReranker(folder, page_store=store, **options) as reranker:  # type: ignore[arg-type]
                ranking = reranker.rerank(QUERY, page)
            assert ranking.usage is not None and ranking.usage.prepared == expected
            seen.append((kept(ranking), logits(ranking)))
    assert seen[0::2] == [(indices, pytest.approx(logit, abs=1e-6)) for indices, logit in seen[1::2]]
    assert len({str(logit) for _, logit in seen[0::2]}) == 5


def test_an_embedder_that_does_not_fit_is_refused_at_construction(tmp_path: Path) -> None:
    folder = make(tmp_path / "model", OWN["band and exit"])
    embedder = checkpoints.make(tmp_path / "embedder", layers=3)
    config = json.loads((embedder / "config.json").read_text())
    config["vision_config"]["patch_size"] = 14
    (embedder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="patch size 14 is not the model's 16"):
        ZipReranker(folder, embedder=embedder)
    shutil.rmtree(embedder)
    with pytest.raises(CheckpointError, match="neither a folder"):
        ZipReranker(folder, embedder=embedder)
    with pytest.raises(ValueError, match=r"keep_ratio=0\.5 with interaction='embedder' needs"):
        ZipReranker(make(tmp_path / "pruned", {**OWN["band"], "keep_ratio": 0.5, "selection": "embedder"}))


def test_the_picture_shows_what_was_kept(tmp_path: Path) -> None:
    folder = make(tmp_path / "model", OWN["band and exit"])
    page = Page.from_image(picture(0, (256, 256)))
    reranker = ZipReranker(folder, keep_ratio=0.25)
    ranking = reranker.rerank(QUERY, [page])
    ranking.save(tmp_path / "pruned.png")
    reranker.with_options(keep_ratio=1.0).rerank(QUERY, [page]).save(tmp_path / "whole.png")
    with Image.open(tmp_path / "pruned.png") as pruned, Image.open(tmp_path / "whole.png") as whole:
        assert pruned.tobytes() != whole.tobytes()
    explanation = reranker.explain(QUERY, page)
    [indices] = kept(ranking)
    shown = explanation.similarity.flatten()
    assert sorted(shown.nonzero()[0].tolist()) == indices
    assert explanation.interaction == "self"
