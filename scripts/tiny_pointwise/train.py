"""Train the pointwise checkpoint on top of ``tiny``: ``python -m scripts.tiny_pointwise.train``.

Every step saves its result in the folder ``--state`` and continues from there when it is run again.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase, Qwen3VLTextModel

from scripts.tiny import corpus
from scripts.tiny.train import MixedPool
from scripts.tiny.word_statistics import WordStatistics
from scripts.tiny_pointwise import circuit, export, factors, model_card, pages
from scripts.tiny_pointwise.model import PointwiseModel

LOG = logging.getLogger(__name__)
CHECKPOINTS = Path(__file__).parents[2] / "ziprerank_integrations" / "checkpoints"
TINY, OUT = CHECKPOINTS / "tiny", CHECKPOINTS / "tiny-pointwise"
STATE = Path("build/tiny_pointwise")


@dataclass
class Material:
    """What training and evaluation read.

    Attributes:
        training: Documents to train on.
        unseen: Documents for evaluation only.
        tokenizer: The tokenizer of ``tiny``.
        stats: Tokens and weights.
    """

    training: list[str]
    unseen: list[str]
    tokenizer: PreTrainedTokenizerBase
    stats: WordStatistics

    @classmethod
    def load(cls, state: Path) -> Material:
        """Collect the corpus and count its words, or load both."""
        state.mkdir(parents=True, exist_ok=True)
        training, unseen = corpus.gather(state / "corpus.jsonl")
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(TINY)
        return cls(training, unseen, tokenizer, WordStatistics(tokenizer, training, state / "counts.json"))

    def pool(self, state: Path, held_out: bool) -> pages.RenderedPool:
        """Render and encode the pages of training or evaluation, or load them."""
        counts = {name: count[held_out] for name, count in pages.COUNTS.items()}
        name, documents = ("held_out.pt", self.unseen) if held_out else ("training.pt", self.training)
        return pages.load(state / name, TINY, documents, self.stats, counts, 11 + held_out)


def initial_ranker(
    tokenizer: PreTrainedTokenizerBase, stats: WordStatistics, seed: int = 0
) -> PointwiseModel:
    """Return the language model with its circuit, before training."""
    tensors = load_file(TINY / "model.safetensors")
    rows = next(tensor for name, tensor in tensors.items() if name.endswith("embed_tokens.weight"))
    config = cast(Any, AutoConfig.from_pretrained(TINY)).text_config
    config.num_hidden_layers = circuit.LAYERS
    config.intermediate_size = circuit.MLP
    torch.manual_seed(seed)
    model = cast(Any, Qwen3VLTextModel(config)).float()
    circuit.write(model, config, seed)
    embeddings = circuit.embeddings(rows, torch.from_numpy(stats.weight), tokenizer)
    return PointwiseModel(model, nn.Parameter(embeddings), tokenizer)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run every step that is not finished."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--state", type=Path, default=STATE)
    parser.add_argument("--lists", type=int, default=500, help="number of training lists")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(1)
    material = Material.load(options.state)
    rendered = material.pool(options.state, held_out=False)
    pool = MixedPool({name: [page for page, _ in part] for name, part in rendered.items()}, material.stats)
    ranker = initial_ranker(material.tokenizer, material.stats, options.seed)
    factors.train(ranker, pool, options.state / "factors.pt", options.lists, options.seed)
    saved = torch.load(options.state / "factors.pt", weights_only=True)
    figures = options.state / "table.md"
    card = model_card.text(
        figures.read_text() if figures.exists() else "", float(saved["spent"]) / 60, int(saved["lists"])
    )
    export.write(TINY, ranker, card, options.out)
    LOG.info("written to %s", options.out)


if __name__ == "__main__":
    main()
