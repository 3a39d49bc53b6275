"""Text → token ids: the chat template around the prompt, and where the query and the images are in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ziprerank_integrations.errors import CheckpointError
from ziprerank_integrations.prompts import ANSWER_START, LETTERS, Prompt

_TEXT = "\ue000prompt\ue001"


@dataclass(frozen=True)
class Encoded:
    """A prompt as token ids.

    Attributes:
        ids: All tokens, one image token for each page, the answer's ``[`` at the end.
        images: Where in ``ids`` the image tokens are.
        query: Where in ``ids`` the query's tokens are: those whose characters overlap it.
    """

    ids: list[int]
    images: list[int]
    query: list[int]


class TextEncoder:
    """The tokenizer of a checkpoint.

    Args:
        tokenizer: transformers' fast tokenizer, with a chat template.
        image_token: The id of the image token.

    Raises:
        CheckpointError: If the letters A to T and ``[`` are not single, distinct tokens, or if there is no
            chat template that takes text and images.
    """

    def __init__(self, tokenizer: Any, image_token: int) -> None:
        from tokenizers import Tokenizer

        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise CheckpointError("the checkpoint's tokenizer has no fast version (tokenizer.json)")
        self._tokenizer = tokenizer
        self._image = image_token
        # A copy of its own: in it, special tokens that somebody wrote into a query are plain characters.
        self._plain = Tokenizer.from_str(backend.to_str())
        self._plain.encode_special_tokens = True
        self._plain.no_padding()
        self._plain.no_truncation()
        special = {
            str(token): number for number, token in tokenizer.added_tokens_decoder.items() if token.special
        }
        self._special = special
        self._split = re.compile("(" + "|".join(map(re.escape, sorted(special, key=len, reverse=True))) + ")")
        self.letters = [self._single(letter) for letter in LETTERS]
        self.start = self._single(ANSWER_START)
        if len({*self.letters, self.start}) != len(LETTERS) + 1:
            raise CheckpointError("the tokenizer gives the letters A to T and '[' no distinct tokens")
        self._frames: dict[int, tuple[str, str]] = {}
        self._frame(1)

    def _single(self, text: str) -> int:
        ids = self.plain(text)
        if len(ids) != 1:
            raise CheckpointError(f"the tokenizer makes {len(ids)} tokens of {text!r}; the ranking needs one")
        return ids[0]

    def count(self, text: str) -> int:
        """Count the tokens of a text, special tokens in it as plain characters."""
        return len(self.plain(text))

    def plain(self, text: str) -> list[int]:
        """Encode a text, special tokens in it as plain characters."""
        return list(self._plain.encode(text, add_special_tokens=False).ids)

    @property
    def end(self) -> int:
        """The token that ends a turn."""
        return int(self._special["<|im_end|>"])

    def encode(self, prompt: Prompt, pages: int) -> Encoded:
        """Encode a user turn: the text, then the images, then the generation prompt and the answer's start.

        Args:
            prompt: The text and where the query is in it.
            pages: How many images follow.
        """
        before, after = self._frame(pages)
        ids: list[int] = []
        images: list[int] = []
        query: list[int] = []
        # The template's text next to the prompt is encoded together with it: tokens may span the seam.
        *opening, lead = self._split.split(before)
        trail, *closing = self._split.split(after)
        self._add(opening, ids, images)
        run = self._plain.encode(lead + prompt.text + trail, add_special_tokens=False)
        start, stop = (len(lead) + place for place in prompt.query)
        for number, (first, last) in zip(run.ids, run.offsets, strict=True):
            if first < stop and last > start:
                query.append(len(ids))
            ids.append(number)
        self._add(closing, ids, images)
        ids.append(self.start)
        return Encoded(ids, images, query)

    def _add(self, parts: list[str], ids: list[int], images: list[int]) -> None:
        for part in parts:
            if part in self._special:
                if self._special[part] == self._image:
                    images.append(len(ids))
                ids.append(self._special[part])
            elif part:
                ids.extend(self.plain(part))

    def _frame(self, pages: int) -> tuple[str, str]:
        """Give what the chat template writes before and after the text of a turn with ``pages`` images."""
        if pages not in self._frames:
            self._frames[pages] = self._write(pages)
        return self._frames[pages]

    def _write(self, pages: int) -> tuple[str, str]:
        content = [{"type": "text", "text": _TEXT}, *({"type": "image"} for _ in range(pages))]
        try:
            written = self._tokenizer.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # jinja2's own errors, or ValueError where there is no template
            raise CheckpointError(f"the checkpoint's chat template cannot be used: {error}") from error
        before, _, after = written.partition(_TEXT)
        marks = [part for part in self._split.split(after) if self._special.get(part) == self._image]
        if _TEXT in after or len(marks) != pages or not written.startswith(before + _TEXT):
            raise CheckpointError("the checkpoint's chat template does not write one text and its images")
        return before, after
