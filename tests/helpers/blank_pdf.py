"""PDFs of one page that is rendered in one colour: really blank ones, and ones that lost their content."""

from __future__ import annotations

import io
import zlib

from fontTools.fontBuilder import FontBuilder
from fontTools.ttLib.tables._g_l_y_f import Glyph

from tests.helpers.hostile_pdf import document, page, stream

FONT = b"/Font<</F1 <</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>"
TEXT = b"BT /F1 20 Tf 20 100 Td (Hello harbour) Tj ET "
IMAGE = b"q 200 0 0 200 0 0 cm /I Do Q "
IMAGES = b"/XObject<</I 5 0 R>>"
_IMAGE = b"/Type/XObject/Subtype/Image/Width 20/Height 20/BitsPerComponent 8/ColorSpace/DeviceGray/Filter"
_FORM = b"/Type/XObject/Subtype/Form"
_LAYER = b"<</Type/OCG/Name(layer)>>"


def uniform() -> bytes:
    return stream(_IMAGE + b"/FlateDecode", zlib.compress(b"\xf0" * 400))


def glyphless() -> bytes:
    """Return a font whose glyphs are empty, as some programs use for the text layer of a scan."""
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "A"])
    builder.setupCharacterMap({65: "A"})
    builder.setupGlyf({".notdef": Glyph(), "A": Glyph()})
    builder.setupHorizontalMetrics({".notdef": (500, 0), "A": (500, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Glyphless", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    buffer = io.BytesIO()
    builder.save(buffer)
    return buffer.getvalue()


def with_glyphless_font() -> bytes:
    font = glyphless()
    return page(
        b"BT /F1 20 Tf 20 100 Td (AAAA) Tj ET",
        b"/Font<</F1 5 0 R>>",
        b"<</Type/Font/Subtype/TrueType/BaseFont/G/FirstChar 65/LastChar 65/Widths[500]/FontDescriptor 6 0 R"
        b"/Encoding/WinAnsiEncoding>>",
        b"<</Type/FontDescriptor/FontName/G/Flags 32/FontBBox[0 -200 500 800]/ItalicAngle 0/Ascent 800"
        b"/Descent -200/CapHeight 700/StemV 80/FontFile2 7 0 R>>",
        stream(b"/Length1 %d" % len(font), font),
    )


def with_hidden_layer(content: bytes, resources: bytes, *more: bytes) -> bytes:
    """Return a page; object 5 is a layer that is switched off."""
    catalog = b"/OCProperties<</OCGs[5 0 R]/D<</OFF[5 0 R]/Order[5 0 R]>>>>"
    return page(content, resources, _LAYER, *more, catalog=catalog)


def cjk(in_form: bool = False) -> bytes:
    """Return a page of Chinese text whose font is not embedded."""
    text = b"BT /F1 30 Tf 20 100 Td <" + "东京湾的港口".encode("utf-16-be").hex().encode() + b"> Tj ET"
    fonts = b"/Font<</F1 5 0 R>>"
    objects = [
        b"<</Type/Font/Subtype/Type0/BaseFont/STSong-Light-UniGB-UTF16-H/Encoding/UniGB-UTF16-H"
        b"/DescendantFonts[6 0 R]>>",
        b"<</Type/Font/Subtype/CIDFontType0/BaseFont/STSong-Light/CIDSystemInfo<</Registry(Adobe)/Ordering(GB1)"
        b"/Supplement 2>>/FontDescriptor<</Type/FontDescriptor/FontName/STSong-Light/Flags 4"
        b"/FontBBox[0 -200 1000 900]/ItalicAngle 0/Ascent 800/Descent -200/CapHeight 700/StemV 80>>>>",
    ]
    if not in_form:
        return page(text, fonts, *objects)
    form = stream(_FORM + b"/BBox[0 0 200 200]/Resources<<%s>>" % fonts, text)
    return page(b"/X Do", b"/XObject<</X 7 0 R>>", *objects, form)


def zeros(data: bytes, start: bytes, size: int) -> bytes:
    """Return bytes with a gap of zeros, as an interrupted download in parts leaves it."""
    first = data.index(start)
    return data[:first] + bytes(size) + data[first + size :]


def compressed(content: bytes) -> bytes:
    """Return a page whose content is a compressed stream."""
    return document(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<<%s>>>>" % FONT,
            stream(b"/Filter/FlateDecode", content),
        ]
    )


def with_key(key: bytes, content: bytes = TEXT) -> bytes:
    """Return a page of text with one more key in the page's dictionary."""
    return document(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]%s/Resources<<%s>>>>" % (key, FONT),
            stream(b"", content),
        ]
    )


_CONTENTS = b"/Contents 4 0 R"

BLANK = {
    "empty": page(b"", b""),
    "no contents": with_key(b""),
    "null contents": with_key(b"/Contents null"),
    "empty list of contents": with_key(b"/Contents[]"),
    "white fill": page(b"1 g 0 0 200 200 re f", b""),
    "blue fill": page(b"0 0 1 rg 0 0 200 200 re f", b""),
    "uniform image": page(IMAGE, IMAGES, uniform()),
    "invisible text over an image": page(IMAGE + b"3 Tr " + TEXT, FONT + IMAGES, uniform()),
    "text under an image": page(TEXT + IMAGE, FONT + IMAGES, uniform()),
    "text under a white fill": page(TEXT + b"1 g 0 0 200 200 re f", FONT),
    "text of a form under a white fill": page(
        b"/X Do 1 g 0 0 200 200 re f",
        b"/XObject<</X 5 0 R>>",
        stream(_FORM + b"/BBox[0 0 200 200]/Resources<<%s>>" % FONT, TEXT),
    ),
    "white text": page(b"1 g " + TEXT, FONT),
    "white text in CMYK": page(b"0 0 0 0 k " + TEXT, FONT),
    "transparent text": page(b"/G gs " + TEXT, FONT + b"/ExtGState<</G<</ca 0/CA 0>>>>"),
    "spaces": page(b"BT /F1 20 Tf 20 100 Td (   ) Tj ET", FONT),
    "text beside the page": page(b"BT /F1 20 Tf 300 100 Td (off) Tj ET", FONT),
    "text beside the crop box": with_key(_CONTENTS + b"/CropBox[0 0 50 50]"),
    "text outside a clip path": page(b"0 0 10 10 re W n " + TEXT, FONT),
    "text outside the box of a form": page(
        b"/X Do",
        b"/XObject<</X 5 0 R>>",
        stream(_FORM + b"/BBox[0 0 10 10]/Resources<<%s>>" % FONT, TEXT),
    ),
    "font of empty glyphs": with_glyphless_font(),
    "text in a hidden layer": with_hidden_layer(
        b"/OC /O BDC " + TEXT + b"EMC", FONT + b"/Properties<</O 5 0 R>>"
    ),
    "form in a hidden layer": with_hidden_layer(
        b"/X Do",
        b"/XObject<</X 6 0 R>>",
        stream(_FORM + b"/BBox[0 0 200 200]/OC 5 0 R/Resources<<%s>>" % FONT, TEXT),
    ),
    "empty compressed content": compressed(b""),
    "compressed content without a checksum": compressed(zlib.compress(b"q Q\n")[:-4]),
    "bytes after the end": page(b"", b"") + bytes(600),
}
"""Pages that are blank, and stay pages."""

_LONG = zlib.compress(TEXT * 40)

LOST = {
    "image that is not a JPEG": page(IMAGE, IMAGES, stream(_IMAGE + b"/DCTDecode", bytes(500))),
    "image that cannot be decompressed": page(IMAGE, IMAGES, stream(_IMAGE + b"/FlateDecode", bytes(500))),
    "missing content": with_key(b"/Contents 9 0 R"),
    "content that cannot be decompressed": compressed(_LONG[:3] + bytes(len(_LONG) - 3)),
    "gap of zeros": zeros(page(TEXT, FONT), b"4 0 obj", 60),
}
"""Pages that lost their content to damage, whichever library renders them."""

EMPTY_BOXES = (b"/CropBox[0 0 0 0]", b"/CropBox[10 10 10 190]", b"/CropBox[500 500 700 700]")
