"""A teacher's rankings, through any OpenAI-compatible endpoint that takes images."""

from __future__ import annotations

import base64
import io
import json
import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ziprerank_integrations.errors import PageError, RemoteError
from ziprerank_integrations.prompts import LETTERS, listwise
from ziprerank_integrations.sizes import within
from ziprerank_integrations.training.records import RecordError, page
from ziprerank_integrations.types import Page

_LETTER = re.compile(r"\[([A-T])\]")
_RETRIED = (408, 409, 429, 500, 502, 503, 504)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """Whom to ask.

    Attributes:
        url: The endpoint's base, for example ``https://api.openai.com/v1``.
        model: The model's name there.
        api_key: Sent as a bearer token, if there is one.
        max_side: Longest edge in pixels of the images that are sent.
        timeout: Seconds for one answer.
        retries: How often an answer is asked for again.
        shuffle: Show the candidates in an order drawn from ``seed``, so that their order teaches nothing.
        seed: Of the draws.
    """

    url: str
    model: str
    api_key: str | None = None
    max_side: int = 1024
    timeout: float = 300.0
    retries: int = 3
    shuffle: bool = True
    seed: int = 0

    def rank(self, query: str, pages: list[Page], draw: str = "") -> list[int]:
        """Ask for a ranking.

        Args:
            query: The question.
            pages: 1 to 20 candidates.
            draw: Distinguishes this list's order from others'.

        Returns:
            Page indices, best first, those that the teacher named.

        Raises:
            RemoteError: If no usable answer comes.
            PageError: If a page cannot be had.
        """
        places = list(range(len(pages)))
        if self.shuffle:
            random.Random(f"{self.seed}/{draw}").shuffle(places)
        content: list[dict[str, Any]] = [{"type": "text", "text": listwise(query, len(pages)).text}]
        for place in places:
            content.append({"type": "image_url", "image_url": {"url": self._image(pages[place])}})
        # Neither temperature nor a limit of tokens: models that think refuse both.
        body = {"model": self.model, "messages": [{"role": "user", "content": content}]}
        answer = self._ask(body)
        slots = [LETTERS.index(letter) for letter in _LETTER.findall(answer)]
        order = list(dict.fromkeys(places[slot] for slot in slots if slot < len(pages)))
        if not order:
            raise RemoteError(f"the teacher named no page: {answer[:200]!r}")
        return order

    def _image(self, page: Page) -> str:
        buffer = io.BytesIO()
        page.image(within(self.max_side)).save(buffer, "PNG")
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

    def _ask(self, body: Mapping[str, Any]) -> str:
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key is not None else {}
        problem = "no answer"
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(min(30.0, 0.5 * 2**attempt) * (0.5 + random.random() / 2))
            try:
                reply = httpx.post(
                    f"{self.url.rstrip('/')}/chat/completions",
                    json=body,
                    headers=headers,
                    timeout=self.timeout,
                )
            except httpx.HTTPError as error:
                problem = f"{type(error).__name__}: {error}"
                continue
            problem = f"status {reply.status_code}: {reply.text[:200]}"
            if reply.status_code == 200:
                try:
                    return str(reply.json()["choices"][0]["message"]["content"])
                except (ValueError, KeyError, IndexError, TypeError):
                    continue
            if reply.status_code not in _RETRIED:
                break
        raise RemoteError(f"{self.url}: {problem}")


def distill(
    source: str | Path,
    target: str | Path,
    teacher: Teacher,
    *,
    root: str | Path | None = None,
    workers: int = 4,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Add a teacher's ranking to each line of ``{"query", "pages", …}``; what is in ``target`` already stays.

    Args:
        source: JSONL without ``ranking``; the pages as `records.read` describes them for stage 2.
        target: JSONL with it. Lines are appended as answers come, so that a stopped run can go on.
        teacher: Whom to ask.
        root: What relative paths in the data start from; by default the folder of ``source``.
        workers: Questions asked at once.
        progress: Called with how many are done, and of how many.

    Returns:
        How many lines were left out because the teacher or a page failed; each is logged.

    Raises:
        RecordError: If a line of ``source`` is no question with pages.
    """
    lines = [line for line in Path(source).read_text(encoding="utf-8").splitlines() if line.strip()]
    base = Path(source).parent if root is None else Path(root)
    out = Path(target)
    done = _done(out)
    rows = []
    for number, line in enumerate(lines):
        if number not in done:
            rows.append((number, _row(line, f"{source}, line {number + 1}")))
    failed = 0

    def ask(job: tuple[int, dict[str, Any]]) -> dict[str, Any] | None:
        number, row = job
        try:
            pages = [page(reference, base) for reference in row["pages"]]
            ranking = teacher.rank(row["query"], pages, str(number))
        except (RemoteError, PageError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s, line %d: left out: %s", source, number + 1, error)
            return None
        return {**row, "ranking": ranking, "line": number}

    with ThreadPoolExecutor(workers) as pool, out.open("a", encoding="utf-8") as file:
        asked = [pool.submit(ask, row) for row in rows]
        for count, answer in enumerate(as_completed(asked), len(done) + 1):
            found = answer.result()
            if found is None:
                failed += 1
            else:
                file.write(json.dumps(found, ensure_ascii=False) + "\n")
                file.flush()
            progress(count, len(lines))
    return failed


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if not isinstance(row, dict) or not isinstance(row.get("query"), str) or not row.get("pages"):
            raise ValueError("a question with pages is {'query': …, 'pages': […]}")
    except ValueError as error:
        raise RecordError(f"{where}: {error}") from error
    return row


def _done(target: Path) -> set[int]:
    """Give the lines that are answered already; cut off the half line that a stopped run may have left."""
    if not target.exists():
        return set()
    lines = target.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n") and line.strip()]
    try:
        done = {int(json.loads(line)["line"]) for line in whole}
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{target} is no result of this command; give another file") from error
    target.write_text("".join(whole), encoding="utf-8")
    return done
