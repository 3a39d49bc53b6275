"""What went wrong once: replaced files, broken files, forms, words without end, devious servers and names."""

from __future__ import annotations

import gc
import gzip
import io
import json
import os
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.conftest import picture
from ziprerank_integrations import Page, PageError, ZipReranker, pdf, urls
from ziprerank_integrations.engine import folder
from ziprerank_integrations.report import sheet
from ziprerank_integrations.textpage import TextCutWarning


def test_a_pdf_that_is_replaced_is_another_pdf(make_pdf: Callable[..., Path]) -> None:
    path, other = make_pdf(2), make_pdf(5)
    page = Page.from_pdf_page(path, 2)
    with pdf.session():
        before, pixels = page.fingerprint(), page.image().tobytes()
        os.replace(other, path)
        assert page.fingerprint() != before
        assert len(Page.from_pdf(path)) == 5
    shutil.copy(make_pdf(1), path)
    with pytest.raises(PageError, match="the file has 1"):
        page.image()
    assert pixels


def test_an_image_that_changes_while_it_is_read_is_no_page(tmp_path: Path, small: ZipReranker) -> None:
    path = tmp_path / "a.png"
    picture(1).save(path)

    class Changing(Page):
        def image(self, *args: Any) -> Image.Image:
            picture(2).save(path)
            return super().image(*args)

    with pytest.raises(PageError, match="changed while it was read"):
        small.rerank("q", [Changing(Page.from_image(path).origin)])


def test_the_digest_sees_a_change_that_leaves_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    state, before = path.stat(), Page.from_image(path).fingerprint()
    time.sleep(0.02)
    with path.open("r+b") as file:
        file.write(b"two")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert Page.from_image(path).fingerprint() != before


@pytest.mark.parametrize("library", ["pymupdf", "pdfium"])
def test_damaged_pdfs_raise_page_errors_only(
    make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, library: str, small: ZipReranker
) -> None:
    monkeypatch.setattr(pdf, "renderer", lambda: library)
    data = make_pdf(3).read_bytes()
    rng = np.random.default_rng(0)
    lenient, failed = small.with_options(on_error="last", max_side=64), 0
    for _ in range(40):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 60):
            damaged[place] = int(rng.integers(0, 256))
        ranking = lenient.rerank("q", [Page.from_pdf_page(bytes(damaged), n) for n in (1, 3)])
        failed += sum(item.error is not None for item in ranking)
    assert failed > 0


@pytest.mark.parametrize("library", ["pymupdf", "pdfium"])
def test_filled_forms_are_drawn(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setattr(pdf, "renderer", lambda: library)
    document = pymupdf.open()
    widget = pymupdf.Widget()
    widget.field_name, widget.field_type = "name", pymupdf.PDF_WIDGET_TYPE_TEXT
    widget.field_value, widget.rect = "FORM VALUE 123", pymupdf.Rect(50, 50, 400, 90)
    document.new_page(width=595, height=842).add_widget(widget)
    drawn = np.asarray(Page.from_pdf(document.tobytes())[0].image())
    assert (drawn[:200] < 100).sum() > 300


@pytest.mark.parametrize("text", ["x" * 60_000, "é" * 30_000, "word " * 60_000, "\n" * 50 + "a" * 60_000])
def test_long_texts_are_drawn_in_no_time(text: str) -> None:
    begin = time.perf_counter()
    with pytest.warns(TextCutWarning):
        Page.from_text(text).image()
    assert time.perf_counter() - begin < 5


def test_the_picture_shows_a_text_as_the_model_saw_it(small: ZipReranker) -> None:
    pages = [Page.from_text(f"number {i} " + "and many words " * 150) for i in range(5)]
    ranking = small.with_options(keep_ratio=0.5).rerank("words", pages)
    # Five narrow cards: laid out for the card, the text would be cut, and warnings are errors here.
    assert sheet(ranking, top=5).width <= 2400
    assert ranking.max_side == 512


# memory


def test_closing_lets_go_of_weights_and_tokenizer(untied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ziprerank_integrations.engine.runtime import Runtime

    reranker = ZipReranker(untied)
    reranker.rerank("q", [Page.from_image(picture(1))])
    checkpoint = reranker._engine.load().checkpoint
    held = [weakref.ref(checkpoint.text), weakref.ref(checkpoint.vision), weakref.ref(checkpoint)]
    del checkpoint
    seen: list[bool] = []

    def release() -> None:
        gc.collect()
        seen.append(any(ref() is not None for ref in held))

    monkeypatch.setattr(Runtime, "release", staticmethod(release))
    reranker.close()
    assert seen == [False]


# images of the caller's


def test_lazily_opened_images(tmp_path: Path) -> None:
    picture(3).convert("P").save(tmp_path / "palette.bmp")
    picture(3).save(tmp_path / "a.tiff")
    for name in ("palette.bmp", "a.tiff"):
        with Image.open(tmp_path / name) as opened:
            page = Page.from_image(opened)
        assert page.fingerprint() and page.image().size == picture(3).size


def test_a_broken_lazy_image_says_so_when_it_is_used(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    picture(3, (300, 300)).save(buffer, "PNG")
    page = Page.from_image(Image.open(io.BytesIO(buffer.getvalue()[:600])))
    for use in (page.image, page.fingerprint):
        with pytest.raises(PageError, match=r"broken: ."):
            use()


def test_formats_that_start_programs_are_no_images() -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(PageError, match="no image"):
        Page.from_image(eps).image()


# names


def test_names_cannot_break_a_message() -> None:
    with pytest.raises(PageError) as caught:
        Page.from_image(Path("a\nb\x1b[31m.png")).image()
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)
    for url in ("http://user:p/ss@host/x", "user:pw@host/x", "http://user:secret@host/x?key=secret#secret"):
        assert not {"ss@", "pw", "secret"} & {
            part for part in ("ss@", "pw", "secret") if part in urls.short(url)
        }


def test_numpys_numbers_are_numbers(small: ZipReranker, make_pdf: Callable[..., Path]) -> None:
    options = small.with_options(window=np.int64(10), stride=np.int32(5), keep_ratio=np.float32(0.5)).options
    assert (type(options.window), options.window, options.keep_ratio) == (int, 10, 0.5)
    ranking = small.rerank("q", [Page.from_pdf_page(make_pdf(2), np.int64(1))], top_n=np.int64(1))  # type: ignore[arg-type]
    assert json.dumps(ranking.to_dict()) and hash(ranking)
    for bad in ("3", 1.5, None, True):
        with pytest.raises(ValueError, match="no whole number"):
            Page.from_pdf_page(make_pdf(2), bad)  # type: ignore[arg-type]


# checkpoints


@pytest.fixture
def copied(tied: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tied, tmp_path / "copy"))


def test_embeddings_tied_by_the_text_config_alone(copied: Path, tied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    config.pop("tie_word_embeddings", None)
    config["text_config"]["tie_word_embeddings"] = True
    (copied / "config.json").write_text(json.dumps(config))
    assert not any("lm_head" in name for name in load_file(copied / "model.safetensors"))
    pages = [Page.from_image(picture(seed)) for seed in range(3)]
    one, other = (ZipReranker(place).rerank("q", pages) for place in (copied, tied))
    assert [item.logit for item in one] == [item.logit for item in other]


def test_a_template_where_older_processors_kept_it(copied: Path) -> None:
    template = (copied / "chat_template.jinja").read_text()
    (copied / "chat_template.jinja").unlink()
    (copied / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    assert len(ZipReranker(copied).rerank("q", [Page.from_image(picture(1))])) == 1


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        ({"size": {"shortest_edge": 9000}, "min_pixels": 6000}, 6000),
        ({"size": {"shortest_edge": None}, "min_pixels": None}, 65_536),
        ({"image_mean": None, "size": None}, 65_536),
        ({"image_mean": [0.5]}, None),
        ({"min_pixels": "many"}, None),
    ],
)
def test_odd_image_settings(copied: Path, settings: dict[str, Any], least: int | None) -> None:
    (copied / "preprocessor_config.json").write_text(json.dumps(settings))
    if least is not None:
        assert folder.inspect(copied).min_pixels == least
        return
    with pytest.raises(ValueError, match="image processor's settings"):
        folder.inspect(copied)


def test_one_of_several_shards_is_no_whole_download(copied: Path) -> None:
    assert folder._complete(copied)
    weights = load_file(copied / "model.safetensors")
    save_file(weights, copied / "model-00001-of-00002.safetensors", {"format": "pt"})
    (copied / "model.safetensors").unlink()
    assert not folder._complete(copied)


# devious servers


class Devious(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/bomb":
            body = gzip.compress(gzip.compress(b"\0" * 50_000_000))
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip, gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_response(200)
        self.end_headers()
        for _ in range(100):
            try:
                self.wfile.write(b"x")
                self.wfile.flush()
            except OSError:
                return
            time.sleep(0.1)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def devious() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Devious)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_compressed_answer_is_not_unpacked(devious: str) -> None:
    with pytest.raises(PageError, match="compressed"):
        urls.fetch(f"{devious}/bomb", max_bytes=2**20, timeout=5, allow_private=True)


def test_an_answer_that_dribbles_takes_no_longer_than_allowed(devious: str) -> None:
    begin = time.perf_counter()
    with pytest.raises(PageError, match="took too long"):
        urls.fetch(f"{devious}/slow", max_bytes=2**20, timeout=0.5, allow_private=True)
    assert time.perf_counter() - begin < 3


@pytest.mark.parametrize(
    "address",
    "fec0::1 64:ff9b:1::1 ::127.0.0.1 3fff::1 5f00::1 192.88.99.1 192.0.0.8 fe80::1%eth0 100.64.0.1".split(),
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not urls._public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "8.8.8.8"])
def test_addresses_that_are_public(address: str) -> None:
    assert urls._public(address)
