"""Rankings by a teacher model, through any OpenAI-compatible endpoint that accepts images."""

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

from ziprerank_integrations import datafiles
from ziprerank_integrations.engine.prompts import LETTERS, listwise
from ziprerank_integrations.errors import PageError, RemoteError
from ziprerank_integrations.pages.sizes import within
from ziprerank_integrations.remote.backoff import Backoff, retry_after
from ziprerank_integrations.training.records import RecordError, page
from ziprerank_integrations.types import Page

WORKERS = 4

_LETTER = re.compile(r"\[([A-T])\]")
_RETRIED = (408, 409, 429, 500, 502, 503, 504)
_BACKOFF = Backoff(initial=1.0, maximum=30.0)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A vision-language model that ranks pages.

    Attributes:
        url: The endpoint's base, for example ``https://api.openai.com/v1``.
        model: The model's name there.
        api_key: Sent as a bearer token; None sends none.
        max_side: Longest edge in pixels of the images that are sent.
        timeout: Seconds for one response, and the longest ``Retry-After`` that is waited for.
        retries: How many times a failed request is repeated.
        shuffle: Send the candidates in a random order, so that their order carries no information.
        seed: Seed of the random order.
    """

    url: str
    model: str
    api_key: str | None = None
    max_side: int = 1024
    timeout: float = 300.0
    retries: int = 3
    shuffle: bool = True
    seed: int = 0

    def rank(self, query: str, pages: list[Page], sample: str = "") -> list[int]:
        """Request a ranking.

        Args:
            query: The question.
            pages: 1 to 20 candidates.
            sample: Name of this list; together with the seed it determines the order of the candidates.

        Returns:
            Indices of the pages that the teacher named, best first.

        Raises:
            RemoteError: If there is no usable response.
            PageError: If a page cannot be read.
        """
        shown = list(range(len(pages)))
        if self.shuffle:
            random.Random(f"{self.seed}/{sample}").shuffle(shown)
        content: list[dict[str, Any]] = [{"type": "text", "text": listwise(query, len(pages)).text}]
        for index in shown:
            content.append({"type": "image_url", "image_url": {"url": self._data_uri(pages[index])}})
        # Neither temperature nor a limit of tokens: reasoning models reject both.
        response = self._complete({"model": self.model, "messages": [{"role": "user", "content": content}]})
        slots = [LETTERS.index(letter) for letter in _LETTER.findall(response)]
        order = list(dict.fromkeys(shown[slot] for slot in slots if slot < len(pages)))
        if not order:
            raise RemoteError(f"the teacher named no page: {response[:200]!r}")
        return order

    def _data_uri(self, page: Page) -> str:
        buffer = io.BytesIO()
        page.image(within(self.max_side)).save(buffer, "PNG")
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

    def _complete(self, body: Mapping[str, Any]) -> str:
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key is not None else {}
        problem, delay = "no response", None
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(_BACKOFF.wait(attempt - 1, delay))
            try:
                response = httpx.post(
                    f"{self.url.rstrip('/')}/chat/completions",
                    json=body,
                    headers=headers,
                    timeout=self.timeout,
                )
            except httpx.HTTPError as error:
                problem, delay = f"{type(error).__name__}: {error}", None
                continue
            problem = f"status {response.status_code}: {response.text[:200]}"
            delay = retry_after(response.headers.get("Retry-After"))
            if response.status_code == 200:
                try:
                    return str(response.json()["choices"][0]["message"]["content"])
                except (ValueError, KeyError, IndexError, TypeError):
                    continue
            if response.status_code not in _RETRIED or (delay is not None and delay > self.timeout):
                break
        raise RemoteError(f"{self.url}: {problem}")


def distill(
    source: str | Path,
    target: str | Path,
    teacher: Teacher,
    *,
    root: str | Path | None = None,
    workers: int = WORKERS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Add a teacher's ranking to each line of ``{"query", "pages", …}``.

    Args:
        source: JSONL without ``ranking``; the pages as `records.read` describes them for stage 2.
        target: JSONL with it. A line is appended for each response, and lines that the file already has are
            kept, so that a stopped run continues.
        teacher: The model that ranks.
        root: Folder that relative paths in the data start from; None is the folder of ``source``.
        workers: Requests in flight at once.
        progress: Called with the number of finished lines and the number of all.

    Returns:
        How many lines were left out because the teacher or a page failed; each is logged.

    Raises:
        RecordError: If a line of ``source`` is not a question with pages, or ``target`` is another file.
    """
    base = Path(source).parent if root is None else Path(root)
    out = Path(target)
    try:
        done = datafiles.finished(out, "line")
    except ValueError as error:
        raise RecordError(str(error)) from error
    jobs = [
        (index, _row(line, f"{source}, line {number}"), number)
        for index, (number, line) in enumerate(datafiles.lines(Path(source)))
    ]
    failed = 0

    def rank(index: int, row: dict[str, Any], number: int) -> dict[str, Any] | None:
        try:
            pages = [page(reference, base) for reference in row["pages"]]
            ranking = teacher.rank(row["query"], pages, str(index))
        except (RemoteError, PageError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s, line %d: left out: %s", source, number, error)
            return None
        return {**row, "ranking": ranking, "line": index}

    with ThreadPoolExecutor(workers) as pool, out.open("a", encoding="utf-8") as file:
        pending = [pool.submit(rank, *job) for job in jobs if job[0] not in done]
        try:
            for count, future in enumerate(as_completed(pending), len(done) + 1):
                row = future.result()
                if row is None:
                    failed += 1
                else:
                    datafiles.append(file, json.dumps(row, ensure_ascii=False) + "\n")
                progress(count, len(jobs))
        except BaseException:  # a full disk, or Ctrl-C: no more requests, whose responses would be lost
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = datafiles.row(line, where)
        if (
            not isinstance(row.get("query"), str)
            or not isinstance(row.get("pages"), list)
            or not row["pages"]
        ):
            raise ValueError(f"{where}: a question with pages is {{'query': …, 'pages': […]}}")
    except ValueError as error:
        raise RecordError(str(error)) from error
    return row
