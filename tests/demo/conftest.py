"""A server with the page, and the files that the tests upload."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pymupdf
import pytest
from PIL import Image

from tests.demo.helpers import SETTINGS, Tab, page_app
from tests.helpers.serving import TIMEOUT, running


@pytest.fixture(scope="package")
def url() -> Iterator[str]:
    """The address of a server with the bundled models, at small pages."""
    with running(page_app(SETTINGS)) as address:
        yield address


@pytest.fixture(scope="package")
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=TIMEOUT) as client:
        yield client


@pytest.fixture
def tab(client: httpx.Client) -> Iterator[Tab]:
    """An open tab without files."""
    tab = Tab(client)
    yield tab
    tab.close()


@pytest.fixture(scope="session")
def pdf_bytes() -> bytes:
    """A PDF of three pages; the last one has no text."""
    with pymupdf.open() as document:
        for text in ("Apples and pears are fruit.", "The harbour library opens in May.", ""):
            page = document.new_page(width=200, height=280)
            page.insert_text((20, 40), text, fontsize=9)
            page.draw_rect((20, 60, 120, 160), fill=(0.2, 0.4, 0.6))
        return bytes(document.tobytes())


@pytest.fixture(scope="session")
def png_bytes() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((300, 200), 60).convert("RGB").save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def pdf_path(tmp_path: Path, pdf_bytes: bytes) -> Path:
    path = tmp_path / "three.pdf"
    path.write_bytes(pdf_bytes)
    return path
