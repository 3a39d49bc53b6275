"""The benchmark on real PDFs: its questions, the checks of packages, and a run on a generated PDF."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymupdf
import pytest

from benchmarks.real import fetch, settings
from benchmarks.real.dataset import QUESTIONS, Document, RealQuestion, load
from benchmarks.real.measure import main
from benchmarks.real.settings import CANDIDATES, SETTINGS, scan, window

DATASET = load()
PAGES = 23
WORDS = {4: "The otter sleeps in the reeds.", 21: "A lantern hangs above the harbour door."}


def question(*pages: int) -> RealQuestion:
    return RealQuestion("q", "Where?", "manual", pages, "fact", "text")


def test_there_are_forty_questions_about_at_least_ten_documents() -> None:
    assert len(DATASET.questions) == 40
    assert len(DATASET.documents) >= 10
    assert len({question.id for question in DATASET.questions}) == 40
    assert len({question.text for question in DATASET.questions}) == 40
    assert {question.document for question in DATASET.questions} == set(DATASET.documents)


def test_right_pages_exist() -> None:
    for item in DATASET.questions:
        assert item.pages and list(item.pages) == sorted(set(item.pages)), item
        assert 1 <= item.pages[0] and item.pages[-1] <= DATASET.documents[item.document].pages, item


def test_questions_have_a_type_and_a_source() -> None:
    assert {item.type for item in DATASET.questions} == {"fact", "how-to", "option", "number"}
    sources = [item.answer_in for item in DATASET.questions]
    assert set(sources) == {"text", "table", "figure", "code"}
    assert sum(source != "text" for source in sources) >= 10
    assert all(item.text.strip().endswith("?") for item in DATASET.questions)


def test_documents_have_checksums_and_are_listed_once() -> None:
    assert len(json.loads(QUESTIONS.read_text())["documents"]) == len(DATASET.documents)
    for document in DATASET.documents.values():
        assert re.fullmatch(r"[0-9a-f]{64}", document.deb_sha256), document
        assert re.fullmatch(r"[0-9a-f]{64}", document.pdf_sha256), document
        assert re.fullmatch(r"/usr/.*\.pdf(\.gz)?", document.path), document
        assert document.version and 8 <= document.pages <= 140, document


@pytest.mark.parametrize("pages", [5, 20, 60])
def test_a_window_contains_the_first_right_page(pages: int) -> None:
    for right in range(1, pages + 1):
        numbers = window(question(right), pages)
        assert right in numbers and numbers[0] >= 1 and numbers[-1] <= pages
        assert len(numbers) == min(CANDIDATES, pages)


def test_the_right_page_has_no_fixed_position_in_the_window() -> None:
    positions = {window(question(40), 80, seed).index(40) for seed in range(100)}
    assert len(positions) > 15


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a file of two questions about one generated PDF, and the folder with the PDF."""
    folder = tmp_path_factory.mktemp("real")
    with pymupdf.open() as pdf:
        for number in range(1, PAGES + 1):
            text = WORDS.get(number, f"Chapter {number} has rules for meetings.")
            pdf.new_page(width=300, height=200).insert_text((20, 60), text, fontsize=14)
        contents = pdf.tobytes()
    (folder / "manual.pdf").write_bytes(contents)
    digest = hashlib.sha256(contents).hexdigest()
    document = Document("manual", "1.0", "0" * 64, "/usr/share/doc/manual.pdf", digest, PAGES)
    questions = [
        {"id": "otter", "text": "Where does the otter sleep?", "document": "manual", "pages": [4]},
        {"id": "lantern", "text": "What hangs above the harbour door?", "document": "manual", "pages": [21]},
    ]
    rows = [{**row, "type": "fact", "answer_in": "text"} for row in questions]
    path = folder / "questions.json"
    path.write_text(json.dumps({"documents": [vars(document)], "questions": rows}))
    return path, folder


def test_a_scan_has_no_text_for_bm25(manual: tuple[Path, Path], tmp_path: Path) -> None:
    path, folder = manual
    for item in SETTINGS["scans"](load(path), folder, 0):
        assert set(item.texts().values()) == {""} and set(item.texts()) == set(item.pages)
        assert item.relevant <= set(item.pages)
        page = item.page(item.pages[0]).image(256)
        assert page.size == (256, 171)
    # Page 23 is outside the only window of 20 pages with page 1.
    apart = replace(load(path), questions=(question(1, PAGES),))
    assert next(SETTINGS["scans"](apart, folder, 0)).relevant == {"1"}
    image = scan(folder / "manual.pdf", 4, tmp_path)
    with pymupdf.open(image) as scanned:
        assert scanned[0].get_text() == ""


@pytest.mark.slow
def test_the_command_measures_text_and_scans(
    manual: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "CANDIDATES", 8)
    path, folder = manual
    output = tmp_path / "results.json"
    arguments = ["--questions", str(path), "--folder", str(folder), "--json", str(output)]
    main([*arguments, "--setting", "text", "--setting", "scans", "--setting", "archive"])
    printed = capsys.readouterr().out
    assert printed == output.with_suffix(".md").read_text()
    results: dict[str, Any] = json.loads(output.read_text())
    assert results["questions"] == 2 and set(results["settings"]) == {"text", "scans", "archive"}
    for setting, ratios in results["settings"].items():
        (result,) = ratios.values()
        otter, lantern = result["lines"]
        assert len(otter["first_stage"]) == 8 and sorted(otter["ranked"]) == sorted(otter["first_stage"])
        assert result["after"]["micro"]["R@1"] == 1.0, setting
        if setting == "scans":
            assert lantern["first_stage"] == sorted(lantern["first_stage"], key=int)
            assert result["before"]["micro"]["R@1"] == 0.0
        else:
            assert result["before"]["micro"]["R@1"] == 1.0
    # A second run reads the results of the first.
    again = tmp_path / "again.json"
    weights = ["--retriever-weight", "0", "--retriever-weight", "0.99"]
    main([*arguments[:-1], str(again), "--setting", "text", *weights])
    alone, fused = json.loads(again.read_text())["settings"]["text"].items()
    assert {alone[0]: alone[1]} == results["settings"]["text"]
    assert fused[0] == "keep 0.25, retriever weight 0.99"
    for line in fused[1]["lines"]:  # pages without a word of the question have equal scores
        scores = dict(zip(line["first_stage"], line["prior"], strict=True))
        ranked = [scores[page] for page in line["ranked"]]
        assert ranked == sorted(ranked, reverse=True)


@pytest.fixture
def package(tmp_path: Path) -> tuple[Document, Path]:
    """Return a document in a package, and the folder with the .deb file."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb")
    contents = b"%PDF-1.4 a manual"
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: manual\nVersion: 1:1.0\nArchitecture: all\nMaintainer: A <a@b.c>\nDescription: manual\n"
    )
    (root / "usr" / "share").mkdir(parents=True)
    (root / "usr" / "share" / "manual.pdf").write_bytes(contents)
    deb = tmp_path / "debs" / "manual_1:1.0_all.deb".replace(":", "%3a")
    deb.parent.mkdir()
    subprocess.run(["dpkg-deb", "--build", root, deb], check=True, capture_output=True)
    sums = [hashlib.sha256(data).hexdigest() for data in (deb.read_bytes(), contents)]
    return Document("manual", "1:1.0", sums[0], "/usr/share/manual.pdf", sums[1], 1), deb.parent


def test_a_pdf_is_extracted_from_its_package(package: tuple[Document, Path], tmp_path: Path) -> None:
    document, debs = package
    pdf = fetch.fetch(document, tmp_path / "out", debs)
    assert pdf.read_bytes() == b"%PDF-1.4 a manual"
    # It is kept, and written again when it differs.
    shutil.move(debs, tmp_path / "moved")
    assert fetch.fetch(document, tmp_path / "out", debs) == pdf
    pdf.write_bytes(b"other")
    assert fetch.fetch(document, tmp_path / "out", tmp_path / "moved").read_bytes() == b"%PDF-1.4 a manual"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"deb_sha256": "0" * 64}, r"manual_1%3a1\.0_all\.deb has the SHA-256 [0-9a-f]{64} and not 0{64}"),
        ({"pdf_sha256": "0" * 64}, r"/usr/share/manual\.pdf of manual=1:1\.0 has the SHA-256"),
        ({"path": "/usr/share/other.pdf"}, r"manual=1:1\.0 does not contain the file /usr/share/other\.pdf"),
    ],
)
def test_another_package_or_pdf_is_an_error(
    package: tuple[Document, Path], tmp_path: Path, change: dict[str, str], message: str
) -> None:
    document, debs = package
    with pytest.raises(fetch.FetchError, match=message):
        fetch.fetch(replace(document, **change), tmp_path / "out", debs)
    assert not (tmp_path / "out").exists()


def test_a_version_that_is_not_available_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # without apt-get
    document = next(iter(DATASET.documents.values()))
    message = rf"^{document.package}={document.version} cannot be downloaded: .*apt-get update.*--debs"
    with pytest.raises(fetch.FetchError, match=message):
        fetch.fetch(document, tmp_path / "out", tmp_path)
