"""Typefaces: those for training, and those for the evaluation only."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ImageFont


@functools.cache
def mupdf() -> Any:
    """Return PyMuPDF, which has no types; training on pages that are rendered already does not need it."""
    import pymupdf

    return pymupdf


ROOTS = (Path("/usr/share/fonts"), Path("/usr/share/texmf/fonts"), Path.home() / ".fonts")
# Sorted by how common they are in real documents; the first are sampled most often.
COMMON = (
    "LiberationSans-Regular.ttf",
    "LiberationSerif-Regular.ttf",
    "NimbusSans-Regular.otf",
    "NimbusRoman-Regular.otf",
    "Carlito-Regular.ttf",
    "LiberationSans-Bold.ttf",
    "LiberationSerif-Bold.ttf",
    "DejaVuSans.ttf",
    "Carlito-Bold.ttf",
    "Caladea-Regular.ttf",
    "OpenSans-Regular.ttf",
    "Roboto-Regular.ttf",
    "NotoSans-Regular.ttf",
    "lmroman10-regular.otf",
    "NimbusSans-Bold.otf",
    "Lato-Regular.ttf",
)
OTHERS = (
    "LiberationSans-Italic.ttf",
    "LiberationSerif-Italic.ttf",
    "LiberationMono-Regular.ttf",
    "NimbusMonoPS-Regular.otf",
    "NimbusRoman-Bold.otf",
    "NimbusRoman-Italic.otf",
    "NimbusSans-Italic.otf",
    "DejaVuSerif.ttf",
    "DejaVuSans-Bold.ttf",
    "OpenSans-Bold.ttf",
    "OpenSans-Light.ttf",
    "Roboto-Bold.ttf",
    "Roboto-Light.ttf",
    "NotoSans-Bold.ttf",
    "NotoSerif-Regular.ttf",
    "NotoSerif-Bold.ttf",
    "Lato-Bold.ttf",
    "Lato-Light.ttf",
    "LinLibertine_R.otf",
    "texgyrepagella-regular.otf",
    "texgyretermes-regular.otf",
    "texgyreheros-regular.otf",
    "texgyreadventor-regular.otf",
    "texgyreschola-regular.otf",
    "cmunrm.ttf",
    "FreeSans.ttf",
    "FreeSerif.ttf",
    "LiberationSansNarrow-Regular.ttf",
    "Caladea-Bold.ttf",
    "P052-Roman.otf",
    "DejaVuSansCondensed.ttf",
    "URWBookman-Light.otf",
    "Carlito-Italic.ttf",
)
HELD_OUT = (
    "Inter-Regular.otf",
    "Cantarell-Regular.otf",
    "EBGaramond12-Regular.otf",
    "CharisSIL-Regular.ttf",
    "Gentium-R.ttf",
    "JunicodeTwoBeta-Regular.otf",
    "AccanthisADFStd-Regular.otf",
    "FiraCode-Regular.ttf",
)
BUILT_IN = ("helv", "tiro", "hebo", "tibo")


@functools.cache
def _installed() -> dict[str, Path]:
    return {path.name: path for root in ROOTS if root.exists() for path in sorted(root.rglob("*.[to]tf"))}


@dataclass(frozen=True)
class Face:
    """One typeface, by file name, or by PyMuPDF's name for a standard PDF font."""

    name: str

    @property
    def path(self) -> Path | None:
        return None if self.name in BUILT_IN else _installed()[self.name]

    @functools.lru_cache(maxsize=4096)  # noqa: B019 - faces live as long as the process
    def pil(self, size: int) -> ImageFont.FreeTypeFont:
        """Return Pillow's font at a size in pixels."""
        return ImageFont.truetype(str(self.path), size, layout_engine=ImageFont.Layout.BASIC)

    @functools.cache  # noqa: B019
    def pdf(self) -> Any:
        """Return PyMuPDF's font."""
        return mupdf().Font(self.name) if self.path is None else mupdf().Font(fontfile=str(self.path))

    @functools.cache  # noqa: B019
    def advance(self, character: str) -> float:
        """Return the width of a character as a share of the font size."""
        return float(self.pdf().text_length(character, 1))


def available(names: tuple[str, ...]) -> list[Face]:
    """Return the faces that are installed on this machine."""
    return [Face(name) for name in names if name in BUILT_IN or name in _installed()]
