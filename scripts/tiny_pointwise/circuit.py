"""The pointwise circuit: attention heads and units whose weights are set by hand, for the page-first order.

Layers are counted from 0 here:

- layer 0: every token reads whether the token two before it is ``query``, which marks the colon of
  ``<Query>:``, and whether the token before it is ``<|im_start|>``, which marks ``assistant``;
- layer 1: text after the marked colon gets a value, which is how informative the token is;
- layer 2, the band: every query token attends to the visual tokens that show it, or else to the first token;
  the attention weight on visual tokens says that the page contains the token;
- layer 3: the last token averages these weights over the query, by value, and writes ``yes`` or ``no``.
  Another head does so with more weight on the tokens that are not on the page.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, Qwen3VLTextConfig, Qwen3VLTextModel

from scripts.tiny.circuits import ALWAYS, CODE, FIRST, MARK, QUERY, TELLING, VALUE, VISUAL, WIDE, Circuit
from scripts.tiny.vision_tower import CONTENT

LABEL, COLON, READ, YES, ROLE = range(CODE, CODE + 5)
FOUND = (CODE + 5, CODE + 6)  # by head of the band's layer
LAYERS = 4
MLP = 256
BAND = 2  # index of the layer in which the query attends to the page
OFFSET = 6  # rotary pairs by which a head finds the token at an offset
COSINES = (
    0.16,
    0.21,
)  # by head: the cosine of a token and a cell at which half of the attention is on the cell
SLOPES = (40.0, 60.0)  # by head: logits per unit of the cosine
GAIN = 2.5  # of queries and keys; the largest logit is 16 * GAIN**2
SOFTER = 1.4  # gain of the last layer


def embeddings(rows: Tensor, weight: Tensor, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Return the circuit's input embeddings.

    Args:
        rows: Input embeddings of the listwise checkpoint, shape (vocabulary, D); their contents are kept.
        weight: How informative each token is, shape (tokens,).
        tokenizer: The checkpoint's tokenizer.
    """
    result = rows.float().clone()
    result[:, CONTENT:] = 0
    result[:, ALWAYS] = 2
    result[: len(weight), TELLING] = 3 * weight

    def row(token: str) -> Tensor:
        return result[cast(int, tokenizer.convert_tokens_to_ids(token))]

    row("query")[LABEL] = row(":")[COLON] = 6
    row("<|im_start|>")[FIRST] = 8
    row("yes")[YES], row("no")[YES] = 6, -6
    row("Ċ")[YES] = -0.7  # the last token of the prompt: the bias of the logit
    return result


@torch.no_grad()
def write(model: Qwen3VLTextModel, config: Qwen3VLTextConfig, seed: int = 0) -> None:
    """Write the circuit into a language model of `LAYERS` layers, all but its embeddings.

    Args:
        model: The model; changed in place.
        config: Its configuration.
        seed: Seed of the random projections.
    """
    circuit = Circuit(model, config, seed)
    circuit.start()
    for layer in circuit.layers:
        layer.self_attn.q_norm.weight.fill_(GAIN)
        layer.self_attn.k_norm.weight.fill_(GAIN)
    circuit.layers[-1].self_attn.q_norm.weight.fill_(SOFTER)
    circuit.layers[-1].self_attn.k_norm.weight.fill_(SOFTER)
    frequencies = cast(Tensor, model.rotary_emb.inv_freq).float()
    _read(circuit, 0, 2, LABEL, READ, frequencies)
    _read(circuit, 1, 1, FIRST, ROLE, frequencies)
    _unit(circuit, 0, 0, {READ: 1.0, COLON: 1.0, ALWAYS: -4.5}, {ALWAYS: 1.0})[MARK] = 0.25
    _mark_query(circuit)
    for head in range(circuit.heads):
        _match(circuit, head)
    _collect(circuit)
    _collect_missing(circuit)
    model.norm.weight.zero_()
    model.norm.weight[YES] = 0.25


def _unit(circuit: Circuit, layer: int, unit: int, gate: dict[int, float], up: dict[int, float]) -> Tensor:
    """Set a unit's inputs, and return its column of the output map, zeroed."""
    mlp = circuit.layers[layer].mlp
    for weight, inputs in ((mlp.gate_proj.weight, gate), (mlp.up_proj.weight, up)):
        weight[unit] = 0
        for column, value in inputs.items():
            weight[unit, column] = value
    mlp.down_proj.weight[:, unit] = 0
    return cast(Tensor, mlp.down_proj.weight[:, unit])


def _read(circuit: Circuit, head: int, offset: int, flag: int, target: int, frequencies: Tensor) -> None:
    """Set a head of layer 0 that copies a flag of the token ``offset`` before."""
    query, key, value, out = circuit.clear(0, head)
    for pair in range(OFFSET):
        angle = offset * float(frequencies[pair])
        query[pair, ALWAYS] = math.cos(angle)
        query[pair + circuit.half, ALWAYS] = -math.sin(angle)
        key[pair, ALWAYS] = 1.0
    value[0, flag] = 1.0
    out[target, 0] = 1.0


def _mark_query(circuit: Circuit) -> None:
    # Tokens behind the mark attend to it, others to the first token.
    query, key, value, out = circuit.clear(1, 0)
    mark, first, rest = circuit.slots(0, 3)
    query[mark, ALWAYS], query[first, ALWAYS], query[rest, ALWAYS] = 2.0, 1.0, -1.0
    key[mark, MARK], key[first, FIRST], key[rest, ALWAYS] = 3.0, 3.0, 1.0
    value[0, MARK] = 1.0
    out[QUERY, 0] = 1.0
    _unit(circuit, 1, 0, {QUERY: 1.0, ROLE: -2.0}, {TELLING: 1.0})[VALUE] = 0.1


def _match(circuit: Circuit, head: int) -> None:
    query, key, value, out = circuit.clear(BAND, head)
    text, sink = circuit.slots(0, 2)
    where = circuit.slots(2, WIDE)
    project = circuit.basis(WIDE, CONTENT)
    query[where, :CONTENT] = project
    key[where, :CONTENT] = project
    # Keys: text has a large component that queries avoid; visual tokens do not (5 * VISUAL = 2.5 * ALWAYS).
    key[text, ALWAYS], key[text, VISUAL] = 10.0, -4.0
    key[text, FIRST], key[sink, FIRST] = -2.5, 8.0
    # Queries: contents have the norm 8. The component against text takes up the rest of the norm.
    largest = 16 * GAIN**2
    share = SLOPES[head] / largest
    norm = 8.0 / share
    query[text, ALWAYS] = -norm * math.sqrt(1 - share**2) / 2
    query[sink, ALWAYS] = 8.0 * COSINES[head] / 2
    value[0, VISUAL] = 1.0
    out[FOUND[head], 0] = 0.1


def _collect(circuit: Circuit) -> None:
    # The mean of both flags over the query's tokens, by value.
    query, key, value, out = circuit.clear(BAND + 1, 0)
    told, rest = circuit.slots(0, 2)
    query[told, ALWAYS] = query[rest, ALWAYS] = 1.0
    key[told, VALUE] = key[rest, ALWAYS] = 3.0
    key[told, VISUAL] = -2.0
    value[0, FOUND[0]] = value[1, FOUND[1]] = 1.0
    out[YES, 0] = out[YES, 1] = 0.4


def _collect_missing(circuit: Circuit) -> None:
    # Of the same tokens those that were not found have the most weight; what is found of them counts.
    query, key, value, out = circuit.clear(BAND + 1, 1)
    told, rest, absent = circuit.slots(0, 3)
    query[told, ALWAYS] = query[rest, ALWAYS] = 1.0
    query[absent, ALWAYS] = 0.7
    key[told, VALUE] = key[rest, ALWAYS] = 3.0
    key[told, VISUAL] = -2.0
    key[absent, FOUND[0]] = key[absent, FOUND[1]] = -3.0
    value[0, FOUND[0]] = value[1, FOUND[1]] = 1.0
    out[YES, 0] = out[YES, 1] = 0.3
