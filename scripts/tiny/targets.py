"""Targets of the vision tower: the tokens of each cell and the characters of each patch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scripts.tiny.layout import Run
from scripts.tiny.word_statistics import WordStatistics

CELL, PATCH = 32, 16
CHARACTERS = 37  # a-z, 0-9, any mark
SHOWN = 0.12  # a cell shows a token if their overlap is at least this share of either

Entries = NDArray[np.int64]
Weights = NDArray[np.float32]


def _character(mark: str) -> int:
    low = mark.lower()
    if "a" <= low <= "z":
        return ord(low) - 97
    return 26 + int(mark) if "0" <= mark <= "9" else 36


def _overlaps(
    box: tuple[float, float, float, float], step: int, rows: int, columns: int
) -> list[tuple[int, int, float]]:
    x0, y0, x1, y1 = box
    overlaps = []
    for row in range(max(int(y0 // step), 0), min(int(y1 // step) + 1, rows)):
        high = min(y1, (row + 1) * step) - max(y0, row * step)
        for column in range(max(int(x0 // step), 0), min(int(x1 // step) + 1, columns)):
            wide = min(x1, (column + 1) * step) - max(x0, column * step)
            if high > 0 and wide > 0:
                overlaps.append((row, column, high * wide))
    return overlaps


def cells(runs: Sequence[Run], width: int, height: int, stats: WordStatistics) -> tuple[Entries, Weights]:
    """Return the tokens that a page's cells show.

    Args:
        runs: The words.
        width: Page width, a multiple of 32.
        height: Page height, a multiple of 32.
        stats: Tokens of a word and their weights.

    Returns:
        Pairs (cell in reading order, token id), shape (K, 2), and the weight of each, shape (K,).
    """
    rows, columns = height // CELL, width // CELL
    pairs: list[tuple[int, int]] = []
    shares: list[float] = []
    for run in runs:
        if run.left > width:
            continue
        edges = run.edges()
        top, bottom = run.baseline - 0.7 * run.size, run.baseline + 0.05 * run.size
        for token, a, b in stats.pieces(run.word):
            weight = float(stats.weight[token])
            if weight <= 0:
                continue
            box = (float(edges[a]), top, float(edges[b]), bottom)
            area = (box[2] - box[0]) * (bottom - top)
            overlaps = _overlaps(box, CELL, rows, columns)
            if sum(part for _, _, part in overlaps) < 0.6 * area:
                continue
            for row, column, part in overlaps:
                share = part / min(area, CELL * CELL)
                if share >= SHOWN:
                    pairs.append((row * columns + column, token))
                    shares.append(weight * min(share, 1.0))
    return np.array(pairs, np.int64).reshape(-1, 2), np.array(shares, np.float32)


def patches(runs: Sequence[Run], width: int, height: int) -> NDArray[np.float32]:
    """Return the characters that a page's patches show, as shares of the patch.

    Returns:
        Shape (rows of patches, columns of patches, ``CHARACTERS``); all zero where there is no ink.
    """
    rows, columns = height // PATCH, width // PATCH
    shown = np.zeros((rows, columns, CHARACTERS), np.float32)
    for run in runs:
        if run.left > width:
            continue
        edges = run.edges()
        top, bottom = run.baseline - 0.6 * run.size, run.baseline
        for i, mark in enumerate(run.word):
            character = _character(mark)
            for row, column, part in _overlaps(
                (float(edges[i]), top, float(edges[i + 1]), bottom), PATCH, rows, columns
            ):
                shown[row, column, character] += part / (PATCH * PATCH)
    return shown
