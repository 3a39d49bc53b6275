"""The language model's ranking circuit: attention heads and units whose weights are set by hand.

With random weights, a model this small stays at chance for hours, and plain gradient descent destroys the
circuit. So the weights are set by hand, and training (``weight_factors``) only scales blocks of them:

- layer 0: every token behind the first page counts the vision starts before it and turns the count into its
  page's code; text after ``Search Query:`` gets a query flag, weighted by how informative it is;
- layer 1: visual tokens look for query tokens that say what they show;
- layers 2 to 7: each page's vision end collects its own page's best matches into a score, one word per layer,
  so that a word that a page repeats counts once;
- layer 8: the last token attends to the vision ends by score and takes over their page codes, the letters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, Qwen3VLTextConfig, Qwen3VLTextModel

from scripts.tiny.prompt import LETTERS
from scripts.tiny.vision_tower import CONTENT

VISUAL, TELLING, QUERY, COUNT, END, START, FIRST, MATCH = range(CONTENT, CONTENT + 8)
SPARE, SCORE, MARK, ALWAYS, LAST, VALUE, SIGN = range(CONTENT + 8, CONTENT + 15)
CODE = CONTENT + 16  # twenty dimensions, one per page
PAGES = len(LETTERS)
SIZE = 8.0  # length of a token's content
MOST = 12.0  # what the counting head writes before any page
SHARP = 1.5  # gain of queries and keys
SHARPER = 2.5  # gain where contents are compared
WIDE = 216  # dimensions of content that a match compares
NOTED = 180  # dimensions of content by which a word is marked as used
SOFTER = 1.0  # gain where pages are compared
FREE = 18  # rotary pairs from here on turn too slowly to matter: they compare contents


class Circuit:
    """Writes attention heads and MLP units into a language model."""

    def __init__(self, model: Qwen3VLTextModel, config: Qwen3VLTextConfig, seed: int = 0) -> None:
        """Store the model's layers and sizes."""
        self.layers = cast(Any, model.layers)
        self.head, self.heads = int(config.head_dim), int(config.num_attention_heads)
        self.half = self.head // 2
        self.random = torch.Generator().manual_seed(seed)

    def start(self) -> None:
        """Initialise heads and units small, with zero outputs: only the circuit has an effect."""
        with torch.no_grad():
            for number, layer in enumerate(self.layers):
                attention, mlp = layer.self_attn, layer.mlp
                for linear, gain in (
                    (attention.q_proj, 0.3),
                    (attention.k_proj, 0.3),
                    (attention.v_proj, 0.5),
                    (attention.o_proj, 0.0),
                    (mlp.gate_proj, 0.7),
                    (mlp.up_proj, 0.7),
                    (mlp.down_proj, 0.0),
                ):
                    linear.weight.copy_(
                        torch.randn(linear.weight.shape, generator=self.random)
                        * gain
                        / math.sqrt(linear.in_features)
                    )
                gain = {0: SHARP, len(self.layers) - 1: SOFTER}.get(number, SHARPER)
                attention.q_norm.weight.fill_(gain)
                attention.k_norm.weight.fill_(gain)

    def clear(self, layer: int, head: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Zero and return a head's rows of the query, key and value maps and columns of the output map."""
        attention = self.layers[layer].self_attn
        rows = slice(head * self.head, (head + 1) * self.head)
        parts = (
            attention.q_proj.weight[rows],
            attention.k_proj.weight[rows],
            attention.v_proj.weight[rows],
            attention.o_proj.weight[:, rows],
        )
        for part in parts:
            part.zero_()
        return parts

    def slots(self, first: int, count: int) -> list[int]:
        """Return ``count`` rows of a head with the slowest rotary pairs, starting at index ``first``."""
        free = [row for pair in reversed(range(FREE, self.half)) for row in (pair, pair + self.half)]
        return free[first : first + count]

    def basis(self, rows: int, columns: int) -> Tensor:
        """Return random orthonormal rows."""
        square = torch.linalg.qr(torch.randn(columns, columns, generator=self.random))[0]
        return cast(Tensor, square[:rows])


@torch.no_grad()
def write(
    model: Qwen3VLTextModel, config: Qwen3VLTextConfig, rows: Tensor, start: int, first: int, seed: int = 0
) -> None:
    """Write the circuit into a language model, all but its embeddings.

    Args:
        model: The model; changed in place.
        config: Its configuration.
        rows: Input embeddings, from ``embeddings``.
        start: Id of the vision start.
        first: Id of the first token of every prompt.
        seed: Seed of the random projections.
    """
    circuit = Circuit(model, config, seed)
    circuit.start()
    _mark_query(circuit)
    _count_pages(circuit)
    _decode_count(circuit, _counts(model, rows, start, first))
    for head in range(circuit.heads):
        _match(circuit, head)
    _sum(circuit)
    last = len(circuit.layers) - 1
    for layer in range(2, last):
        _collect(circuit, layer)
    _read(circuit, last)
    model.norm.weight.fill_(0.35)  # letters differ by a few units of log-odds, not by a hundred


def _mark_query(circuit: Circuit) -> None:
    query, key, value, out = circuit.clear(0, 0)
    (mark,) = circuit.slots(0, 1)
    for pair in (3, 6, 9, 12, 15):
        query[pair, ALWAYS] = key[pair, ALWAYS] = 1.0
    query[mark, ALWAYS] = 3.0
    key[mark, MARK], key[mark, FIRST], key[mark, ALWAYS] = 3.0, 1.0, -2.0
    value[0, SIGN] = 1.0
    out[QUERY, 0] = 1.0


def _count_pages(circuit: Circuit) -> None:
    # Each vision start and the first token have the logit 0, all other tokens a low one. After i starts the
    # first token has the weight 1 / (i + 1), whose *relative* steps are large enough for bfloat16.
    query, key, value, out = circuit.clear(0, 1)
    starts, first, rest = circuit.slots(0, 3)
    query[rest, ALWAYS] = -1.0
    key[starts, START], key[first, FIRST] = 1.0, 1.0
    key[rest, ALWAYS], key[rest, START], key[rest, FIRST] = 4.0, -1.0, -1.0
    value[0, FIRST] = 1.0
    out[COUNT, 0] = MOST / 15.5


def _counts(model: Qwen3VLTextModel, rows: Tensor, start: int, first: int) -> list[float]:
    # What the counting head writes for 0, 1, 2 ... pages, measured rather than derived.
    vectors = rows[torch.tensor([first] + [start] * PAGES)][None]
    layer = cast(Any, model.layers[0])
    angles = model.rotary_emb(vectors, torch.arange(PAGES + 1).expand(3, 1, -1))
    blocked = torch.full((PAGES + 1, PAGES + 1), float("-inf")).triu(1)
    written, _ = layer.self_attn(layer.input_layernorm(vectors), angles, blocked[None, None])
    return [float(count) for count in written[0, :, COUNT]]


def _decode_count(circuit: Circuit, nodes: Sequence[float]) -> None:
    # One unit per count, with a bend at the count's value; their second differences are hats, one per page.
    # Units are active below their node, where values are small, so that no hat is a difference of large
    # numbers.
    mlp = circuit.layers[0].mlp
    high = 1.5
    gaps = [nodes[i] - nodes[i + 1] for i in range(PAGES)]
    steep = [7.0 / gaps[min(i, PAGES - 1)] for i in range(PAGES + 1)]
    for unit, node in enumerate(nodes):
        mlp.gate_proj.weight[unit].zero_()
        mlp.up_proj.weight[unit].zero_()
        mlp.down_proj.weight[:, unit].zero_()
        mlp.gate_proj.weight[unit, COUNT] = -steep[unit]
        mlp.gate_proj.weight[unit, ALWAYS] = steep[unit] * node / 2
        mlp.up_proj.weight[unit, ALWAYS] = 1.0
        mlp.up_proj.weight[unit, LAST] = -0.5  # the last token has no page of its own
    for page in range(PAGES):
        down = mlp.down_proj.weight[CODE + page]
        down[page] += high / gaps[page] / steep[page]
        down[page + 1] -= high / gaps[page] / steep[page + 1]
        if page + 1 < PAGES:
            down[page + 1] -= high / gaps[page + 1] / steep[page + 1]
            down[page + 2] += high / gaps[page + 1] / steep[page + 2]
    unit = len(nodes)
    for weight in (mlp.gate_proj.weight[unit], mlp.up_proj.weight[unit], mlp.down_proj.weight[:, unit]):
        weight.zero_()
    mlp.gate_proj.weight[unit, QUERY] = 1.0
    mlp.up_proj.weight[unit, TELLING] = 1.0
    mlp.down_proj.weight[VALUE, unit] = 0.15


def _match(circuit: Circuit, head: int) -> None:
    query, key, value, out = circuit.clear(1, head)
    seen, sink = circuit.slots(0, 2)
    wide = WIDE
    where = circuit.slots(2, wide)
    project = circuit.basis(wide, CONTENT)
    query[where, :CONTENT] = project
    key[where, :CONTENT] = project
    query[seen, VISUAL], key[seen, VISUAL] = 0.2, -10.0
    # Other tokens attend to the first token; otherwise text would match itself.
    query[sink, ALWAYS], query[sink, VISUAL], key[sink, FIRST] = (0.65, 0.8)[head] + 15, -6.0, 1.0
    value[0, VALUE] = 1.0
    value[1 : wide + 1, :CONTENT] = project * 0.5
    out[MATCH, 0] = 0.9
    out[:CONTENT, 1 : wide + 1] = 0.4 * project.T


def _collect(circuit: Circuit, layer: int) -> None:
    # The page's end attends to the best match on its own page that no earlier layer has used, adds it to the
    # score and marks the word as used: repeating one word does not score more than having all of them.
    query, key, value, out = circuit.clear(layer, 0)
    own = circuit.slots(0, PAGES)
    match, sink = circuit.slots(PAGES, 2)
    wide = NOTED
    word = circuit.slots(PAGES + 3, wide)
    project = circuit.basis(wide, CONTENT)
    for page, slot in enumerate(own):
        query[slot, CODE + page] = 0.5
        key[slot, CODE + page] = 0.3
    query[match, ALWAYS], key[match, MATCH] = 2.6, 1.0
    query[word, :CONTENT] = -1.2 * project
    key[word, :CONTENT] = 0.2 * project
    query[sink, ALWAYS], query[sink, END], key[sink, FIRST] = (
        40.0,
        -10.0,
        1.0,
    )  # other tokens attend to the first
    value[0, MATCH] = 1.0
    value[1 : wide + 1, :CONTENT] = 0.4 * project
    out[SCORE, 0] = 1.0
    out[:CONTENT, 1 : wide + 1] = project.T


def _sum(circuit: Circuit) -> None:
    # The mean over the cells of the token's own page.
    query, key, value, out = circuit.clear(2, 1)
    own = circuit.slots(0, PAGES)
    (sink,) = circuit.slots(PAGES, 1)
    for page, slot in enumerate(own):
        query[slot, CODE + page] = 1.0
        key[slot, CODE + page] = 1.0
    query[sink, ALWAYS], query[sink, END], key[sink, FIRST] = 40.0, -10.0, 1.0
    value[0, MATCH] = 1.0
    out[SCORE, 0] = 2.0


def _read(circuit: Circuit, layer: int) -> None:
    query, key, value, out = circuit.clear(layer, 0)
    ends, score, rest = circuit.slots(0, 3)
    query[ends, ALWAYS], query[score, ALWAYS], query[rest, ALWAYS] = 0.17, 1.0, -1.0
    key[ends, END], key[score, SCORE] = 1.0, 1.0
    key[rest, ALWAYS], key[rest, END], key[rest, VISUAL] = 4.0, -1.0, 2.0
    for page in range(PAGES):
        value[page, CODE + page] = 1.0
        out[CODE + page, page] = 1.0


def letters(tokenizer: PreTrainedTokenizerBase) -> Sequence[int]:
    """Return the token ids of the letters."""
    return [cast(int, tokenizer.convert_tokens_to_ids(letter)) for letter in LETTERS]
