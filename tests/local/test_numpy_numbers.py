"""numpy's numbers as options and arguments."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ziprerank_integrations import Page, ZipReranker


def test_numpys_numbers_are_python_numbers_in_options_and_results(
    small: ZipReranker, make_pdf: Callable[..., Path]
) -> None:
    options = small.with_options(window=np.int64(10), stride=np.int32(5), keep_ratio=np.float32(0.5)).options
    assert (type(options.window), options.window, options.keep_ratio) == (int, 10, 0.5)
    ranking = small.rerank("q", [Page.from_pdf_page(make_pdf(2), np.int64(1))], top_n=np.int64(1))  # type: ignore[arg-type]
    assert json.dumps(ranking.to_dict()) and hash(ranking)
