"""Train the small checkpoint from nothing: ``python -m scripts.tiny.train --minutes 105``.

Every step saves its state in the folder ``--state`` and continues from there when it is run again.
"""

from __future__ import annotations

import argparse
import logging
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen3VLTextModel

from scripts.tiny import (
    bpe,
    circuits,
    corpus,
    embedding,
    export,
    fonts,
    language_model,
    model_card,
    model_config,
    page_features,
    temperature,
    train_vision,
    weight_factors,
)
from scripts.tiny.lists import PageList, PagePool, PageText
from scripts.tiny.vision_tower import CONTENT, VisionEncoder
from scripts.tiny.word_statistics import WordStatistics
from ziprerank_integrations.atomic import replacing

LOG = logging.getLogger(__name__)
CHECKPOINT = Path(__file__).parents[2] / "ziprerank_integrations" / "checkpoints" / "tiny"
VISION_SHARE, FACTOR_SHARE = 0.75, 0.15  # shares of the time; the rest is for rendering the ranker's pages
SMALL = ((256, 320), (320, 256), (384, 288), (224, 224), (288, 416), (416, 320), (224, 320), (480, 384))
# The ranker's pages by set: how many for training, how many held out, and the share of lists with them.
POOLS = {
    "small": (700, 120, 0.4),
    "middle": (150, 40, 0.15),
    "a4": (150, 40, 0.4),
    "slides": (130, 40, 0.2),
}


def page_sets() -> dict[str, page_features.PageSet]:
    """Return the page sets that the ranker is trained on."""
    common = fonts.available(fonts.COMMON)
    every = common + fonts.available(fonts.OTHERS)
    return {
        "small": page_features.PageSet(SMALL, (12, 24), every, 0.5),
        "middle": page_features.PageSet(((512, 640), (640, 448), (768, 576)), (12, 30), every, 0.6),
        "a4": page_features.PageSet(((736, 1024), (800, 1024)), (12.5, 16), every, 0.8, True),
        "slides": page_features.PageSet(((1024, 576), (1024, 768)), (22, 42), every, 0.8, True),
    }


class MixedPool(PagePool):
    """Several pools as one: each list is from one of them."""

    def __init__(self, pools: dict[str, list[PageText]], stats: WordStatistics) -> None:
        self.parts = {name: PagePool(pages, stats) for name, pages in pools.items()}

    def sample(
        self,
        count: int,
        rng: random.Random,
        hard: float = 0.5,
        mixed: float = 0.3,
        natural: float = 0.0,
    ) -> PageList | None:
        """Sample a list; see `PagePool.sample`."""
        name = rng.choices(list(self.parts), [POOLS[name][2] for name in self.parts])[0]
        return self.parts[name].sample(count, rng, hard, mixed, natural)


class Pipeline:
    """The training steps; each reads what the steps before it wrote to the state folder."""

    def __init__(self, state: Path, minutes: float, seed: int) -> None:
        """Collect the corpus and train the tokenizer, or load both."""
        self.state, self.minutes, self.seed = state, minutes, seed
        state.mkdir(parents=True, exist_ok=True)
        self.training, self.unseen = corpus.gather(state / "corpus.jsonl", seed)
        folder = state / "base"
        if not (folder / "tokenizer.json").exists():
            tokenizer = bpe.build(self.training, seed)
            bpe.check(tokenizer)
            bpe.save(tokenizer, folder)
        self.fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
        self.config = model_config.configuration(self.fast)
        self.stats = WordStatistics(self.tokenizer, self.training, state / "counts.json")

    def train_vision(self) -> VisionEncoder:
        """Train the vision tower."""
        torch.manual_seed(self.seed)
        texts = cast(list[str], self.tokenizer.convert_ids_to_tokens(list(range(len(self.tokenizer)))))
        encoder = VisionEncoder(self.config, texts)
        train_vision.train(
            encoder,
            self.training,
            self.unseen,
            self.stats,
            self.state / "seeing.pt",
            VISION_SHARE * self.minutes,
            self.seed,
        )
        saved = torch.load(self.state / "seeing.pt", weights_only=True)
        encoder.load_state_dict(saved["reader"])
        return encoder.to(torch.bfloat16)

    def encode_pages(
        self, encoder: VisionEncoder
    ) -> tuple[dict[str, list[PageText]], dict[str, list[PageText]], float]:
        """Render and encode the ranker's pages, or load them."""
        path = self.state / "library.pt"
        if not path.exists():
            sets = page_sets()
            scale = circuits.SIZE / page_features.mean_norm(encoder, self.training, self.stats, sets["small"])
            pages: list[dict[str, list[PageText]]] = [{}, {}]
            for name, (training_count, held_out_count, _) in POOLS.items():
                for part, documents, count in (
                    (0, self.training, training_count),
                    (1, self.unseen, held_out_count),
                ):
                    pages[part][name] = page_features.encode_pages(
                        encoder, scale, documents, self.stats, sets[name], count, self.seed + 11 + part
                    )
                LOG.info("%s: %d and %d pages encoded", name, training_count, held_out_count)
            with replacing(path) as temporary:
                torch.save((pages[0], pages[1], scale), temporary)
        training, held_out, scale = torch.load(path, weights_only=False)
        return training, held_out, scale

    def initial_ranker(self, encoder: VisionEncoder) -> language_model.ListwiseModel:
        """Return the language model with its circuit, before training."""
        table = F.normalize(encoder.table.detach().float(), dim=-1)
        rows = embedding.embeddings(table, torch.from_numpy(self.stats.weight), self.tokenizer)
        text = cast(Any, self.config.text_config)
        model = cast(Any, Qwen3VLTextModel(text)).float()
        ids = cast(list[int], self.tokenizer.convert_tokens_to_ids(["<|vision_start|>", "<|im_start|>"]))
        circuits.write(model, text, rows, ids[0], ids[1], self.seed)
        deep = encoder.tower.deepstack_merger_list
        with torch.no_grad():
            for merge in cast(Any, deep):
                merge.linear_fc1.weight.normal_(0, merge.linear_fc1.in_features**-0.5)
                for weight in (merge.linear_fc1.bias, merge.linear_fc2.weight, merge.linear_fc2.bias):
                    weight.zero_()
        return language_model.ListwiseModel(
            model.to(torch.bfloat16),
            nn.Parameter(rows.to(torch.bfloat16)),
            embedding.visual_flags().to(torch.bfloat16),
            deep.requires_grad_(True).to(torch.bfloat16),
            self.tokenizer,
            self.stats,
        )

    def train_ranker(
        self, ranker: language_model.ListwiseModel, training: PagePool, held_out: PagePool
    ) -> None:
        """Train the circuit's factors, calibrate the scores, and log Recall@1 on held-out documents."""
        weight_factors.train(
            ranker, training, content, self.state / "gauges.pt", FACTOR_SHARE * self.minutes, self.seed
        )
        LOG.info("temperature %.2f", temperature.calibrate(ranker, training, content))
        LOG.info(
            "Recall@1 on unseen documents: %s", language_model.recall_at_1(ranker, held_out, content, 40)
        )

    def export(
        self,
        encoder: VisionEncoder,
        ranker: language_model.ListwiseModel,
        scale: float,
        folder: Path,
        figures: str,
    ) -> None:
        """Write the checkpoint."""
        model = export.build(self.fast, encoder, scale, ranker.model, ranker.rows, ranker.deep)
        export.write(model, self.fast, model_card.text(figures, self.duration()), folder)

    def duration(self) -> str:
        """Return a sentence on the time that the steps took."""
        tower = torch.load(self.state / "seeing.pt", weights_only=True)
        factors = torch.load(self.state / "gauges.pt", weights_only=True)
        lists = factors["steps"] * weight_factors.GATHER
        return (
            f"These weights took {tower['spent'] / 60:.0f} minutes for the tower ({tower['steps']:,} steps)\n"
            f"and {factors['spent'] / 60:.0f} for the factors ({lists:,} lists), on one core."
        )


def content(page: PageText) -> Tensor:
    """Return a page's visual tokens without flags."""
    assert page.features is not None
    return page.features[:, :CONTENT]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run every step that is not finished."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=CHECKPOINT)
    parser.add_argument("--state", type=Path, default=Path("build/tiny"))
    parser.add_argument("--minutes", type=float, default=105, help="training time of all steps, on one core")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figures", type=Path, help="table of scripts.tiny.evaluate, for the model card")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(1)
    pipeline = Pipeline(options.state, options.minutes, options.seed)
    encoder = pipeline.train_vision()
    training, held_out, scale = pipeline.encode_pages(encoder)
    ranker = pipeline.initial_ranker(encoder)
    pipeline.train_ranker(ranker, MixedPool(training, pipeline.stats), MixedPool(held_out, pipeline.stats))
    figures = options.figures.read_text() if options.figures and options.figures.exists() else ""
    pipeline.export(encoder, ranker, scale, options.out, figures)


if __name__ == "__main__":
    main()
