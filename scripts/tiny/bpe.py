"""The tokenizer: byte-level BPE over lower-cased words, for text that is read from page images."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from scripts.tiny.prompt import LETTERS, prompt_text
from scripts.tiny.word_lists import BUSINESS, QUESTION_WORDS, name, number

VOCABULARY = 6000
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# A year is one token, other numbers are split into pairs of digits, punctuation is split off.
PIECES = r"(?:19|20)\d\d(?!\d)|\d{1,2}|\p{L}[\p{L}\p{M}]*|\n+|[^\s\p{L}\d]|\s"

TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' or 'image' in part or 'image_url' in part -%}
<|vision_start|><|image_pad|><|vision_end|>
{%- elif part.type == 'video' or 'video' in part -%}
<|vision_start|><|video_pad|><|vision_end|>
{%- elif 'text' in part -%}
{{ part.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""


def _training_text(documents: Sequence[str], seed: int) -> Iterator[str]:
    rng = random.Random(seed)
    yield from documents
    for _ in range(300):
        yield prompt_text(" ".join(rng.sample(BUSINESS, 6)), rng.randint(2, 20))
        yield " ".join([*BUSINESS, *QUESTION_WORDS] * 2)
        yield " ".join(str(year) for year in range(1950, 2050))
        yield " ".join(f"{pair:02d}" for pair in range(100))
        yield " ".join(name(rng) for _ in range(20)) + " " + " ".join(number(rng) for _ in range(20))


def build(documents: Sequence[str], seed: int = 0) -> Tokenizer:
    """Train the tokenizer.

    Letters inside words are lower-cased by 26 replacements, which keeps offsets true and leaves a letter
    that stands alone as it is: ``[A]`` is three tokens and ``A`` one of the 20 answers. Spaces are dropped,
    so that a
    word is the same token at a line's start, after a bracket, or mid-sentence.

    Args:
        documents: Training text.
        seed: For the invented names and numbers.

    Returns:
        A tokenizer of ``VOCABULARY`` entries and, after them, Qwen's special tokens.
    """
    tokenizer = Tokenizer(models.BPE())
    lower: list[normalizers.Normalizer] = [normalizers.NFC()]
    for capital in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        inside = rf"{capital}(?=[A-Za-z])|(?<=[A-Za-z]){capital}"
        lower.append(normalizers.Replace(Regex(inside), capital.lower()))
    tokenizer.normalizer = normalizers.Sequence(lower)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[ \t]+"), "removed"),
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(_training_text(documents, seed), trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja in transformers' format."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    added = {
        str(tokenizer.token_to_id(token)): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for token in SPECIAL
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "added_tokens_decoder": added,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 32768,
        "clean_up_tokenization_spaces": False,
        "additional_special_tokens": list(SPECIAL[1:]),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    (folder / "chat_template.jinja").write_text(TEMPLATE)


def check(tokenizer: Tokenizer) -> None:
    """Raise ValueError unless the letters, the bracket and the special tokens are as the engine expects."""
    for letter in (*LETTERS, "["):
        ids = tokenizer.encode(letter).ids
        if len(ids) != 1 or ids[0] >= VOCABULARY:
            raise ValueError(f"{letter} is not one token of the vocabulary: {ids}")
    if tokenizer.encode("[A] > [B]").tokens != ["[", "A", "]", ">", "[", "B", "]"]:
        raise ValueError("identifiers do not tokenise as bracket, letter, bracket")
