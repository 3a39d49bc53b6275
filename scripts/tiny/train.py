"""Makes the small checkpoint from nothing: ``python -m scripts.tiny.train --minutes 105``.

Every stage keeps its state in ``--state`` and continues from there when it is started again.
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
    card,
    circuits,
    corpus,
    embedding,
    export,
    fonts,
    gauges,
    geometry,
    library,
    ranking,
    seeing,
    temper,
    tokens,
)
from scripts.tiny.lexis import Lexis
from scripts.tiny.lists import PageList, PageText, Shelf
from scripts.tiny.reader import CONTENT, Reader

LOG = logging.getLogger(__name__)
CHECKPOINT = Path(__file__).parents[2] / "ziprerank_integrations" / "checkpoints" / "tiny"
SEEING, RANKING = 0.75, 0.15  # shares of the time; drawing the ranker's pages takes the rest
SMALL = ((256, 320), (320, 256), (384, 288), (224, 224), (288, 416), (416, 320), (224, 320), (480, 384))
# Pages the ranker learns on: how many for training, how many held out, and how often a list is drawn from
# them.
SHELVES = {
    "small": (700, 120, 0.4),
    "middle": (150, 40, 0.15),
    "a4": (150, 40, 0.25),
    "slides": (130, 40, 0.2),
}


def page_kinds() -> dict[str, library.Kind]:
    """Kinds of pages the ranker learns on."""
    common = fonts.available(fonts.COMMON)
    every = common + fonts.available(fonts.OTHERS)
    return {
        "small": library.Kind(SMALL, (12, 24), every, 0.5),
        "middle": library.Kind(((512, 640), (640, 448), (768, 576)), (12, 30), every, 0.6),
        "a4": library.Kind(((736, 1024), (800, 1024)), (12.5, 16), every, 0.8, True),
        "slides": library.Kind(((1024, 576), (1024, 768)), (22, 42), every, 0.8, True),
    }


class Shelves(Shelf):
    """Several shelves as one: each list comes from one of them."""

    def __init__(self, pools: dict[str, list[PageText]], lexis: Lexis) -> None:
        self.parts = {name: Shelf(pages, lexis) for name, pages in pools.items()}

    def draw(self, count: int, draw: random.Random, hard: float = 0.5, mixed: float = 0.3) -> PageList | None:
        """See ``Shelf.draw``."""
        name = draw.choices(list(self.parts), [SHELVES[name][2] for name in self.parts])[0]
        return self.parts[name].draw(count, draw, hard, mixed)


class Workshop:
    """The stages, each on what the stages before it left in the state folder."""

    def __init__(self, state: Path, minutes: float, seed: int) -> None:
        """Gathers the corpus and makes the tokenizer, or finds them."""
        self.state, self.minutes, self.seed = state, minutes, seed
        state.mkdir(parents=True, exist_ok=True)
        self.training, self.unseen = corpus.gather(state / "corpus.jsonl", seed)
        folder = state / "base"
        if not (folder / "tokenizer.json").exists():
            made = tokens.build(self.training, seed)
            tokens.check(made)
            tokens.save(made, folder)
        self.fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
        self.config = geometry.configuration(self.fast)
        self.lexis = Lexis(self.tokenizer, self.training, state / "counts.json")

    def see(self) -> Reader:
        """Trains the vision tower."""
        torch.manual_seed(self.seed)
        texts = cast(list[str], self.tokenizer.convert_ids_to_tokens(list(range(len(self.tokenizer)))))
        reader = Reader(self.config, texts)
        seeing.train(
            reader,
            self.training,
            self.unseen,
            self.lexis,
            self.state / "seeing.pt",
            SEEING * self.minutes,
            self.seed,
        )
        saved = torch.load(self.state / "seeing.pt", weights_only=True)
        reader.load_state_dict(saved["reader"])
        return reader.to(torch.bfloat16)

    def collect(self, reader: Reader) -> tuple[dict[str, list[PageText]], dict[str, list[PageText]], float]:
        """Draws and reads the ranker's pages."""
        path = self.state / "library.pt"
        if not path.exists():
            kinds = page_kinds()
            scale = circuits.SIZE / library.size_of(reader, self.training, self.lexis, kinds["small"])
            found: list[dict[str, list[PageText]]] = [{}, {}]
            for name, (known, held, _) in SHELVES.items():
                for part, documents, count in ((0, self.training, known), (1, self.unseen, held)):
                    found[part][name] = library.collect(
                        reader, scale, documents, self.lexis, kinds[name], count, self.seed + 11 + part
                    )
                LOG.info("%s: %d and %d pages read", name, known, held)
            torch.save((found[0], found[1], scale), path)
        known_pages, held_pages, scale = torch.load(path, weights_only=False)
        return known_pages, held_pages, scale

    def start(self, reader: Reader) -> ranking.Trainee:
        """The language model with its circuit drawn, before training."""
        table = F.normalize(reader.table.detach().float(), dim=-1)
        rows = embedding.embeddings(table, torch.from_numpy(self.lexis.weight), self.tokenizer)
        text = cast(Any, self.config.text_config)
        model = cast(Any, Qwen3VLTextModel(text)).float()
        ids = cast(list[int], self.tokenizer.convert_tokens_to_ids(["<|vision_start|>", "<|im_start|>"]))
        circuits.draw(model, text, rows, ids[0], ids[1], self.seed)
        deep = reader.tower.deepstack_merger_list
        with torch.no_grad():
            for merge in cast(Any, deep):
                merge.linear_fc1.weight.normal_(0, merge.linear_fc1.in_features**-0.5)
                for weight in (merge.linear_fc1.bias, merge.linear_fc2.weight, merge.linear_fc2.bias):
                    weight.zero_()
        return ranking.Trainee(
            model.to(torch.bfloat16),
            nn.Parameter(rows.to(torch.bfloat16)),
            embedding.visual_flags().to(torch.bfloat16),
            deep.requires_grad_(True).to(torch.bfloat16),
            self.tokenizer,
            self.lexis,
        )

    def rank(self, trainee: ranking.Trainee, known: Shelf, held: Shelf) -> None:
        """Gauges and tempers the circuit, and says how it does on held-out documents."""
        gauges.train(trainee, known, content, self.state / "gauges.pt", RANKING * self.minutes, self.seed)
        LOG.info("temperature %.2f", temper.temper(trainee, known, content))
        LOG.info("Recall@1 on unseen documents: %s", ranking.validate(trainee, held, content, 40))

    def ship(
        self, reader: Reader, trainee: ranking.Trainee, scale: float, folder: Path, figures: str
    ) -> None:
        """Writes the checkpoint."""
        model = export.build(self.fast, reader, scale, trainee.model, trainee.rows, trainee.deep)
        export.write(model, self.fast, card.text(figures, self.time()), folder)

    def time(self) -> str:
        """Says what the stages took."""
        tower = torch.load(self.state / "seeing.pt", weights_only=True)
        factors = torch.load(self.state / "gauges.pt", weights_only=True)
        lists = factors["steps"] * gauges.GATHER
        return (
            f"These weights took {tower['spent'] / 60:.0f} minutes for the tower ({tower['steps']:,} steps)\n"
            f"and {factors['spent'] / 60:.0f} for the factors ({lists:,} lists), on one core."
        )


def content(page: PageText) -> Tensor:
    """A page's visual tokens, without flags."""
    assert page.features is not None
    return page.features[:, :CONTENT]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs every stage that is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=CHECKPOINT)
    parser.add_argument("--state", type=Path, default=Path("build/tiny"))
    parser.add_argument("--minutes", type=float, default=105, help="time for everything, on one core")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figures", type=Path, help="the table that evaluate wrote, for the model card")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(1)
    workshop = Workshop(given.state, given.minutes, given.seed)
    reader = workshop.see()
    known, held, scale = workshop.collect(reader)
    trainee = workshop.start(reader)
    workshop.rank(trainee, Shelves(known, workshop.lexis), Shelves(held, workshop.lexis))
    figures = given.figures.read_text() if given.figures and given.figures.exists() else ""
    workshop.ship(reader, trainee, scale, given.out, figures)


if __name__ == "__main__":
    main()
