"""Text → token ids: the chat template around the prompt, and where the query and the images are in it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ziprerank_integrations.engine.chat_template import render
from ziprerank_integrations.engine.prompts import Prompt, Special
from ziprerank_integrations.errors import CheckpointError, one_line

_TEXT = "\ue000prompt\ue001"


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt as token ids.

    Attributes:
        ids: All tokens: one image token per page, the start of the answer at the end.
        images: The indices in ``ids`` of the image tokens.
        query: The indices in ``ids`` of the query's tokens: those whose characters overlap it.
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
        CheckpointError: If there is no fast tokenizer.
    """

    def __init__(self, tokenizer: Any, image_token: int) -> None:
        from tokenizers import Tokenizer

        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise CheckpointError("the checkpoint's tokenizer has no fast version (tokenizer.json)")
        self._tokenizer = tokenizer
        self._image = image_token
        # A separate copy, in which special tokens written into a query are plain characters.
        self._plain = Tokenizer.from_str(backend.to_str())
        self._plain.encode_special_tokens = True
        self._plain.no_padding()
        self._plain.no_truncation()
        special = {
            str(token): number for number, token in tokenizer.added_tokens_decoder.items() if token.special
        }
        self._special = special
        self._split = re.compile("(" + "|".join(map(re.escape, sorted(special, key=len, reverse=True))) + ")")
        self._templates: dict[int, tuple[str, str]] = {}

    def single_tokens(self, texts: Iterable[str]) -> list[int]:
        """Return the ids of texts that are one token each.

        Raises:
            CheckpointError: If the tokenizer splits one of them.
        """
        tokens = []
        for text in texts:
            ids = self.plain(text)
            if len(ids) != 1:
                raise CheckpointError(
                    f"the tokenizer splits {text!r} into {len(ids)} tokens; the ranking needs one"
                )
            tokens += ids
        return tokens

    def count(self, text: str) -> int:
        """Count the tokens of a text, special tokens in it as plain characters."""
        return len(self.plain(text))

    def plain(self, text: str) -> list[int]:
        """Encode a text, special tokens in it as plain characters."""
        return list(self._plain.encode(text, add_special_tokens=False).ids)

    def parts(self, parts: Iterable[str]) -> list[int]:
        """Encode text and special tokens; the text between two special tokens is encoded as one run.

        Raises:
            CheckpointError: If a special token is not in the vocabulary.
        """
        ids: list[int] = []
        for is_special, run in itertools.groupby(parts, lambda part: isinstance(part, Special)):
            if not is_special:
                ids += self.plain("".join(run))
                continue
            for token in run:
                if token not in self._special:
                    raise CheckpointError(f"the tokenizer has no special token {str(token)!r}")
                ids.append(self._special[token])
        return ids

    def run(self, text: str, span: tuple[int, int]) -> tuple[list[int], list[int]]:
        """Encode a text as one run.

        Args:
            text: The text, special tokens in it as plain characters.
            span: Characters ``[start, stop)`` of it.

        Returns:
            The ids, and the indices of those that overlap the span.
        """
        encoded = self._plain.encode(text, add_special_tokens=False)
        inside = [
            index for index, (first, last) in enumerate(encoded.offsets) if first < span[1] and last > span[0]
        ]
        return list(encoded.ids), inside

    @property
    def appended(self) -> list[int]:
        """The tokens that the tokenizer itself appends to a text."""
        text = "x"
        ids = list(self._plain.encode(text, add_special_tokens=True).ids)
        plain = self.plain(text)
        return ids[ids.index(plain[-1]) + 1 :]

    @property
    def end(self) -> int:
        """The token that ends a turn."""
        return int(self._special["<|im_end|>"])

    def encode(self, prompt: Prompt, pages: int) -> EncodedPrompt:
        """Encode a user turn: the text, the images, the generation prompt, and the start of the answer.

        Args:
            prompt: The prompt.
            pages: How many images follow the text.

        Raises:
            CheckpointError: If there is no chat template that takes text and images.
        """
        before, after = self._template(pages)
        ids: list[int] = []
        images: list[int] = []
        # The template's text next to the prompt is encoded together with it: tokens may span the boundary.
        *opening, prefix = self._split.split(before)
        suffix, *closing = self._split.split(after)
        self._add(opening, ids, images)
        start, stop = (len(prefix) + offset for offset in prompt.query)
        run, inside = self.run(prefix + prompt.text + suffix, (start, stop))
        query = [len(ids) + index for index in inside]
        ids += run
        self._add(closing, ids, images)
        ids.extend(self.plain(prompt.answer))
        return EncodedPrompt(ids, images, query)

    def _add(self, parts: list[str], ids: list[int], images: list[int]) -> None:
        for part in parts:
            if part in self._special:
                if self._special[part] == self._image:
                    images.append(len(ids))
                ids.append(self._special[part])
            elif part:
                ids.extend(self.plain(part))

    def _template(self, pages: int) -> tuple[str, str]:
        """Return what the chat template writes before and after the text of a turn with ``pages`` images."""
        if pages not in self._templates:
            self._templates[pages] = self._write(pages)
        return self._templates[pages]

    def _write(self, pages: int) -> tuple[str, str]:
        content = [{"type": "text", "text": _TEXT}, *({"type": "image"} for _ in range(pages))]
        messages = [{"role": "user", "content": content}]
        try:
            template = self._tokenizer.get_chat_template()
            special = {name: str(token) for name, token in self._tokenizer.special_tokens_map.items()}
            written = render(template, messages, add_generation_prompt=True, **special)
        except Exception as error:  # jinja2's own errors, or ValueError where there is no template
            reason = one_line(error)[:300] or type(error).__name__
            raise CheckpointError(f"the checkpoint's chat template cannot be used: {reason}") from error
        before, _, after = written.partition(_TEXT)
        marks = [part for part in self._split.split(after) if self._special.get(part) == self._image]
        if _TEXT in after or len(marks) != pages or not written.startswith(before + _TEXT):
            raise CheckpointError("the checkpoint's chat template does not write one text and its images")
        return before, after
