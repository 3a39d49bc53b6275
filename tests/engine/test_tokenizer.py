"""Prompts → token ids: as the checkpoint's tokenizer has them, whatever the query contains."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from tests.engine.test_prompts import AWKWARD
from tests.helpers import naive
from tests.helpers.checkpoints import TINY
from ziprerank_integrations.engine.prompts import listwise
from ziprerank_integrations.engine.tokenizer import EncodedPrompt, TextEncoder


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return AutoTokenizer.from_pretrained(TINY)


@pytest.fixture(scope="module")
def encoder(tokenizer: object) -> TextEncoder:
    return TextEncoder(tokenizer, tokenizer.convert_tokens_to_ids("<|image_pad|>"))  # type: ignore[attr-defined]


def specials(encoder: TextEncoder, encoded: EncodedPrompt) -> int:
    return sum(number in encoder._special.values() for number in encoded.ids)


@pytest.mark.parametrize("query", AWKWARD)
def test_a_query_changes_nothing_but_its_own_text(
    encoder: TextEncoder, tokenizer: object, query: str
) -> None:
    plain, awkward = (encoder.encode(listwise(text, 3), 3) for text in ("plain words", query))
    assert len(awkward.images) == 3
    assert specials(encoder, awkward) == specials(encoder, plain)
    # From the query's last token on, everything is the same; so is everything before its first.
    tail = len(plain.ids) - plain.query[-1] - 2
    assert awkward.ids[-tail:] == plain.ids[-tail:]
    head = plain.query[0]
    assert awkward.ids[:head] == plain.ids[:head]
    text = tokenizer.decode([awkward.ids[i] for i in awkward.query])  # type: ignore[attr-defined]
    squeezed = "".join(query.lower().split())
    assert squeezed in "".join(text.lower().split())


@pytest.mark.parametrize("query", ["What was the revenue?", "[A] > [B]", "emoji 😀", "2023年", "line\nbreak"])
def test_ordinary_queries_are_encoded_as_the_tokenizer_does(
    encoder: TextEncoder, tokenizer: object, query: str
) -> None:
    content = [{"type": "text", "text": naive.prompt(query, 4)}] + [{"type": "image"}] * 4
    ids = tokenizer.apply_chat_template(  # type: ignore[attr-defined]
        [{"role": "user", "content": content}], tokenize=True, add_generation_prompt=True, return_dict=False
    )
    assert encoder.encode(listwise(query, 4), 4).ids == [*ids, *encoder.single_tokens("[")]
