"""Train the language model alone, on a checkpoint's tower: ``python -m scripts.tiny.train_ranker``.

Tokenizer, tower and token vectors stay as they are; the circuit is written again and its factors are trained.
Rendered pages are cached in ``--state``, and an interrupted training continues from there.
"""

from __future__ import annotations

import argparse
import io
import logging
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoTokenizer, Qwen3VLTextModel

from scripts.tiny import (
    circuits,
    corpus,
    embedding,
    export,
    model_card,
    model_config,
    stock_model,
    temperature,
    weight_factors,
)
from scripts.tiny.language_model import LONGEST, ListwiseModel
from scripts.tiny.lists import PageText
from scripts.tiny.page_features import render_pngs
from scripts.tiny.train import CHECKPOINT, MixedPool, content, page_sets
from scripts.tiny.vision_tower import to_patches
from scripts.tiny.word_statistics import WordStatistics
from ziprerank_integrations.atomic import replacing

LOG = logging.getLogger(__name__)
LONGEST_ON_GPU = 4300  # tokens: 20 A4 pages with a quarter of their tokens
COUNTS = {"small": 400, "middle": 80, "a4": 80, "slides": 80}  # pages by set


def render(state: Path, stats: WordStatistics, seed: int) -> dict[str, list[tuple[PageText, bytes]]]:
    """Return pages by set with their pixels as PNG, from the cache in ``state`` if it exists."""
    path = state / "ranker_pages.pt"
    if not path.exists():
        documents, _ = corpus.gather(state / "corpus.jsonl")
        sets, pool = page_sets(), {}
        for name, count in COUNTS.items():
            rng = random.Random(f"{seed} {name}")
            pool[name] = render_pngs(documents, stats, sets[name], count, rng)
            LOG.info("%s: %d pages rendered", name, count)
        with replacing(path) as temporary:
            torch.save(pool, temporary)
    return cast(dict[str, list[tuple[PageText, bytes]]], torch.load(path, weights_only=False))


@torch.no_grad()
def encode(
    source: Any, pages: dict[str, list[tuple[PageText, bytes]]], device: str
) -> dict[str, list[PageText]]:
    """Return the pages with the features of the checkpoint's tower, float32 on the device."""
    for part in pages.values():
        for page, png in part:
            pixels = torch.from_numpy(np.array(Image.open(io.BytesIO(png)))).to(device)
            grid = torch.tensor([[1, 2 * page.rows, 2 * page.columns]], device=device)
            grey = to_patches(pixels[None])[0].repeat(1, 6)
            page.features = source.model.visual(grey, grid_thw=grid).pooler_output.float()
    return {name: [page for page, _ in part] for name, part in pages.items()}


def initial_ranker(folder: Path, stats: WordStatistics, device: str, seed: int) -> ListwiseModel:
    """Return the language model with its circuit, before training, float32 on the device."""
    tokenizer = stats.tokenizer
    fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = cast(Any, model_config.configuration(fast)).text_config
    tensors = load_file(folder / "model.safetensors")
    rows = next(tensor for name, tensor in tensors.items() if name.endswith("embed_tokens.weight")).float()
    torch.manual_seed(seed)
    model = cast(Any, Qwen3VLTextModel(config)).float()
    ids = cast(list[int], tokenizer.convert_tokens_to_ids(["<|vision_start|>", "<|im_start|>"]))
    circuits.write(model, config, rows, ids[0], ids[1], seed)
    return ListwiseModel(
        model.to(device),
        nn.Parameter(rows.to(device)),
        embedding.visual_flags().to(device),
        nn.ModuleList(),
        tokenizer,
        stats,
    )


def write(folder: Path, source: Any, ranker: ListwiseModel, card: str, out: Path) -> None:
    """Write the checkpoint: the tower of ``source``, and the language model of the ranker."""
    fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
    config: Any = model_config.configuration(fast)
    config.ziprerank.pop("random_weights", None)
    model = export.with_language_model(source, config, ranker.model, ranker.rows)
    export.write(model, fast, card, out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run every step that is not finished."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="the checkpoint with the tower")
    parser.add_argument("--out", type=Path, default=CHECKPOINT)
    parser.add_argument("--state", type=Path, default=Path("build/tiny"))
    parser.add_argument("--minutes", type=float, default=16, help="training time")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figures", type=Path, help="table of scripts.tiny.evaluate, for the model card")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(1)
    options.state.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(options.checkpoint)
    counts = options.state / "counts.json"
    documents = [] if counts.exists() else corpus.gather(options.state / "corpus.jsonl")[0]
    stats = WordStatistics(tokenizer, documents, counts)
    rendered = render(options.state, stats, options.seed)
    ranker = initial_ranker(options.checkpoint, stats, options.device, options.seed)
    source = stock_model.load(options.checkpoint)
    torch.set_default_device(options.device)
    pool = MixedPool(encode(source.to(options.device), rendered, options.device), stats)
    gauges = options.state / "gauges.pt"
    longest = LONGEST if options.device == "cpu" else LONGEST_ON_GPU
    weight_factors.train(ranker, pool, content, gauges, options.minutes, options.seed, longest)
    LOG.info("temperature %.2f", temperature.calibrate(ranker, pool, content))
    torch.set_default_device("cpu")
    saved = torch.load(gauges, weights_only=True, map_location="cpu")
    lists = saved["steps"] * weight_factors.GATHER
    time = (
        f"The factors took {saved['spent'] / 60:.0f} minutes ({lists:,} lists)\n"
        f"on one {'core' if options.device == 'cpu' else 'GPU'}; the tower is that of an earlier training."
    )
    figures = options.figures.read_text() if options.figures and options.figures.exists() else ""
    write(options.checkpoint, source.cpu(), ranker, model_card.text(figures, time), options.out)
    LOG.info("written to %s", options.out)


if __name__ == "__main__":
    main()
