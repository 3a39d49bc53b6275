"""The structure of a PDF, read with pypdf."""

from __future__ import annotations

import logging
import zlib

import pytest

from tests.helpers.blank_pdf import BLANK, FONT, LOST, TEXT, compressed
from tests.helpers.hostile_pdf import document, page
from ziprerank_integrations import PageError
from ziprerank_integrations.pages.pdf_structure import can_inflate, inspect, reader


def test_what_cannot_be_decompressed() -> None:
    data = zlib.compress(b"word " * 10_000)
    changed = bytearray(data)
    changed[len(data) // 2] ^= 0xFF
    assert can_inflate(data) and can_inflate(data[:-4])
    assert not can_inflate(data[:-8]) and not can_inflate(bytes(changed)) and not can_inflate(b"")


def test_only_the_start_of_a_compression_bomb_is_decompressed() -> None:
    bomb = zlib.compress(bytes(2**27))
    assert can_inflate(bomb[:-20])  # its end would be an error


def test_damage_and_layers() -> None:
    assert inspect(None, BLANK["empty"], None, 0) == (False, False)
    assert inspect(None, BLANK["text in a hidden layer"], None, 0) == (False, True)
    assert inspect(None, LOST["missing content"], None, 0).is_damaged
    assert inspect(None, page(TEXT, b"/Font<</F1 9 0 R>>"), None, 0).is_damaged
    assert not inspect(None, page(TEXT, FONT), None, 0).is_damaged
    assert inspect(None, BLANK["empty"][:-30], None, 0).is_damaged
    assert inspect(None, b"junk\n" * 5 + BLANK["empty"], None, 0) == (False, False)


def test_errors_are_page_errors_and_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with (
        pytest.raises(PageError, match=r"a\.pdf: its structure cannot be read"),
        reader("a.pdf", None, b"", None),
    ):
        pass
    with reader("a.pdf", None, b"junk" + compressed(zlib.compress(b"")), None) as opened:
        assert len(opened.pages) == 1
    assert not caplog.records
    broken = document([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[9 0 R]/Count 1>>"])
    with pytest.raises(PageError), reader("a.pdf", None, broken, None) as opened:
        opened.pages[0].get("/Contents")
    logging.getLogger("pypdf._reader").warning("of another caller")
    assert [record.getMessage() for record in caplog.records] == ["of another caller"]
