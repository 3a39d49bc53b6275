"""Page labels: the rules of ISO 32000-1, those of pypdf, hostile tables, the cache."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pypdf
import pytest

from tests.helpers.hostile_pdf import document
from ziprerank_integrations import Page, PageError, errors
from ziprerank_integrations.errors import MissingDependencyError
from ziprerank_integrations.pages import page_labels, pdf
from ziprerank_integrations.pages.page_labels import LabelCache, PageLabels
from ziprerank_integrations.pages.pdf import PdfFile
from ziprerank_integrations.pages.pdf_workers import PdfWorkers


def labelled(pages: int, table: bytes, *objects: bytes) -> bytes:
    """Return a PDF of empty pages with a label table; ``objects`` have numbers from 3 + ``pages``."""
    kids = b" ".join(b"%d 0 R" % (3 + index) for index in range(pages))
    return document(
        [
            b"<</Type/Catalog/Pages 2 0 R/PageLabels %s>>" % table,
            b"<</Type/Pages/Kids[%s]/Count %d/MediaBox[0 0 9 9]>>" % (kids, pages),
            *[b"<</Type/Page/Parent 2 0 R>>"] * pages,
            *objects,
        ]
    )


def labels(data: bytes) -> list[str]:
    return list(PdfFile("book.pdf", data=data).labels())


TABLES = {
    "roman, then arabic": (b"<</Nums[0<</S/r>>4<</S/D>>]>>", ["i", "ii", "iii", "iv", "1", "2"]),
    "with a type": (
        b"<</Nums[0<</Type/PageLabel/S/R>>5<</Type/PageLabel/S/D/St 8>>]>>",
        "I II III IV V 8".split(),
    ),
    "prefix and start": (b"<</Nums[0<</S/D/P(A-)/St 8>>]>>", ["A-8", "A-9", "A-10", "A-11", "A-12", "A-13"]),
    "prefix only": (b"<</Nums[0<</P(Cover)>>1<</S/D>>]>>", ["Cover", "1", "2", "3", "4", "5"]),
    "no style": (b"<</Nums[0<<>>2<</S/D>>]>>", ["", "", "1", "2", "3", "4"]),
    "letters": (b"<</Nums[0<</S/A/St 25>>4<</S/a/St 52>>]>>", ["Y", "Z", "AA", "BB", "zz", "aaa"]),
    "brackets": (b"<</Nums[0<</P(\\(1\\) )/S/D>>]>>", ["(1) 1", "(1) 2", "(1) 3", "(1) 4", "(1) 5", "(1) 6"]),
    "UTF-16 prefix": (b"<</Nums[0<</P<FEFF7B2C>/S/D>>]>>", [f"\u7b2c{number}" for number in range(1, 7)]),
    "umlaut": (b"<</Nums[0<</P<DC2D>/S/D>>]>>", [f"\u00dc-{number}" for number in range(1, 7)]),
    "no entry for the first page": (b"<</Nums[2<</S/D>>]>>", ["1", "2", "1", "2", "3", "4"]),
    "no entries": (b"<</Nums[]>>", ["1", "2", "3", "4", "5", "6"]),
    "not a table": (b"[1 2 3]", ["1", "2", "3", "4", "5", "6"]),
    "unknown style": (b"<</Nums[0<</S/X>>3<</S/D>>]>>", ["1", "2", "3", "1", "2", "3"]),
    "number below one": (b"<</Nums[0<</S/D/St -1>>]>>", ["1", "2", "1", "2", "3", "4"]),
    "huge roman": (
        b"<</Nums[0<</S/R/St 1000000000>>3<</S/r/St 3998>>]>>",
        "1 2 3 mmmcmxcviii mmmcmxcix 6".split(),
    ),
    "huge letters": (b"<</Nums[0<</S/A/St 1000000000>>]>>", ["1", "2", "3", "4", "5", "6"]),
    "huge number": (b"<</Nums[0<</S/D/St 1%s>>]>>" % (b"0" * 40), [f"1{number:040}" for number in range(6)]),
    "long prefix": (b"<</Nums[0<</S/D/P(%s)>>]>>" % (b"x" * 600), ["1", "2", "3", "4", "5", "6"]),
    "last key without a value": (b"<</Nums[0<</S/r>>3]>>", ["i", "ii", "iii", "iv", "v", "vi"]),
    "key that is a name": (b"<</Nums[0<</S/r>>2<</S/D>>/X<</S/R>>]>>", ["i", "ii", "3", "4", "5", "6"]),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("library", ["pymupdf", "pdfium"])
def test_labels(library: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "renderer", lambda: library)
    table, expected = TABLES[name]
    assert labels(labelled(6, table)) == expected


# Version 6 has other labels for these.
SINCE_PYPDF_7 = {"no entry for the first page", "number below one", "long prefix"}


@pytest.mark.parametrize(
    "name",
    [name for name in TABLES if int(pypdf.__version__.split(".")[0]) >= 7 or name not in SINCE_PYPDF_7],
)
def test_labels_are_those_of_pypdf(name: str, tmp_path: Path) -> None:
    path = tmp_path / "book.pdf"
    path.write_bytes(labelled(6, TABLES[name][0]))
    assert list(PdfFile("book.pdf", str(path)).labels()) == pypdf.PdfReader(path).page_labels


def test_a_tree_is_read_in_order() -> None:
    data = labelled(
        6,
        b"<</Kids[9 0 R 10 0 R]>>",
        b"<</Limits[0 2]/Nums[0<</S/r>>2 11 0 R]>>",
        b"<</Limits[3 5]/Kids[12 0 R]>>",
        b"<</S/D/P 13 0 R/St 14 0 R>>",
        b"<</Limits[3 5]/Nums[4<</S/A>>]>>",
        b"(p)",
        b"7",
    )
    assert labels(data) == ["i", "ii", "p7", "p8", "A", "B"]


def test_a_file_without_a_table_has_numbers(make_pdf: Callable[..., Path]) -> None:
    assert PdfFile("f", str(make_pdf(3))).labels() == ["1", "2", "3"]


def test_a_cycle_ends() -> None:
    assert labels(
        labelled(2, b"9 0 R".replace(b"9", b"5"), b"<</Kids[5 0 R 6 0 R 5 0 R]>>", b"<</Nums[0<</S/r>>]>>")
    ) == [
        "i",
        "ii",
    ]


def test_a_deep_tree_is_read() -> None:
    levels = [b"<</Kids[%d 0 R]>>" % (6 + level) for level in range(3000)]
    assert labels(labelled(2, b"5 0 R", *levels, b"<</Nums[0<</S/r>>]>>")) == ["i", "ii"]


@pytest.mark.parametrize(
    "table",
    [b"<</Kids[" * 20_000 + b"]>>" * 20_000, b"<</Nums[0<</S/D/St 1%s>>]>>" % (b"0" * 10_000)],
    ids=["nested too deeply", "number of 10,000 digits"],
)
def test_a_hostile_table_is_an_error(table: bytes) -> None:
    data = labelled(2, table)
    with pytest.raises(PageError, match=r"book\.pdf"):
        labels(data)


def test_the_time_is_linear() -> None:
    def seconds(pages: int) -> float:
        table = b"<</Nums[" + b"".join(b"%d<</P(%d)>>" % (index, index) for index in range(pages)) + b"]>>"
        data = labelled(pages, table)
        begin = time.process_time()
        read = page_labels.read("f", None, data, None, pages)
        assert read[-1] == str(pages - 1)
        return time.process_time() - begin

    seconds(100)
    assert min(seconds(4000) for _ in range(3)) < 16 * min(seconds(500) for _ in range(3))


def test_too_much_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    data = labelled(6, b"<</Nums[0<</S/D/P(abc)>>]>>")
    with pytest.raises(PageError, match="2,000,000 pages are too many"):
        page_labels.read("f", None, data, None, 2_000_000)
    monkeypatch.setattr(page_labels, "_MOST_CHARACTERS", 20)
    with pytest.raises(PageError, match="page labels are too long"):
        page_labels.read("f", None, data, None, 6)


def test_numbers_of_a_label() -> None:
    table = PageLabels(["i", "", "1", "1", " 2 ", ""])
    assert [list(table.numbers(label)) for label in ("i", "1", "2", " i", "", "9")] == [
        [1],
        [3, 4],
        [5],
        [1],
        [],
        [],
    ]


def test_labels_are_read_once_per_version_of_a_file(
    make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, reads = make_pdf(3), []
    read = pdf.read_labels
    monkeypatch.setattr(pdf, "read_labels", lambda *file: (reads.append(file), read(*file))[1])
    for _ in range(3):
        PdfFile("f", str(path)).labels()
        PdfFile("g", data=path.read_bytes()).labels()
    assert len(reads) == 2
    path.write_bytes(labelled(2, b"<</Nums[0<</S/r>>]>>"))
    assert PdfFile("f", str(path)).labels() == ["i", "ii"]


def test_the_lock_of_the_libraries_is_not_held(
    make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = pdf.read_labels

    def check(*file: object) -> list[str]:
        assert not pdf._LOCK._is_owned()  # type: ignore[attr-defined]
        return read(*file)  # type: ignore[arg-type]

    monkeypatch.setattr(pdf, "read_labels", check)
    assert len(PdfFile("f", str(make_pdf(2))).labels()) == 2


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_labels, "_MOST_PAGES", 5)
    cache = LabelCache()
    for key in ("a", "b", "c"):
        cache.add(key, PageLabels(["1", "2"]))
    assert [cache.get(key) is not None for key in ("a", "b", "c")] == [False, True, True]
    cache.get("b")
    cache.add("d", PageLabels(["1", "2"]))
    assert [cache.get(key) is not None for key in ("b", "c", "d")] == [True, False, True]


def test_workers_read_labels(tmp_path: Path) -> None:
    data = labelled(6, TABLES["UTF-16 prefix"][0])
    path = tmp_path / "book.pdf"
    path.write_bytes(data)
    pool = PdfWorkers(1, seconds=30)
    with pdf.in_workers(pool):
        for file in (PdfFile("book.pdf", str(path)), PdfFile("book.pdf", data=data + b"\n")):
            assert file.labels() == TABLES["UTF-16 prefix"][1]
        # No image of this session's process: the pages are empty.
        assert Page.from_pdf(path)[5].number == 6
    pool.close()


def test_without_pypdf_the_error_names_the_extra(
    make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(errors._BROKEN, "pypdf", "cannot be imported: test")
    with pytest.raises(MissingDependencyError, match=r"reading page labels needs pypdf"):
        PdfFile("f", str(make_pdf(1))).labels()
