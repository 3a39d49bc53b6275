"""The listwise scorer: its letters, and its logits of one window."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.engine.test_bad_checkpoints import copied
from tests.helpers.checkpoints import TINY
from tests.local.test_bad_input import good
from ziprerank_integrations import CheckpointError, ZipReranker
from ziprerank_integrations.engine.engine import Engine
from ziprerank_integrations.engine.prompts import LETTERS
from ziprerank_integrations.engine.scorers.listwise import ListwiseScorer
from ziprerank_integrations.options import EngineOptions

__all__ = ["copied"]


def test_a_tokenizer_without_single_letters(copied: Path) -> None:
    tokenizer = json.loads((copied / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Prepend", "prepend": "xq"}
    (copied / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(CheckpointError, match="splits 'A' into"):
        ZipReranker(copied).rerank("q", good())


def test_the_answer_tokens_are_the_letters() -> None:
    checkpoint = Engine(EngineOptions(model=str(TINY))).load().checkpoint
    tokens = ListwiseScorer.answer_tokens(checkpoint.text, checkpoint.config)
    assert [checkpoint.text.plain(letter) for letter in LETTERS] == [[token] for token in tokens]
