"""Small PDFs written by hand; some keep a renderer busy for hours, or make it take much memory."""

from __future__ import annotations

import struct


def document(objects: list[bytes]) -> bytes:
    """Return a PDF of objects numbered from 1; the first is its catalog."""
    data, offsets = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    data += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return data + b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)


def stream(dictionary: bytes, content: bytes) -> bytes:
    return b"<<%s/Length %d>>\nstream\n%s\nendstream" % (dictionary, len(content), content)


def page(content: bytes, resources: bytes, *more: bytes, catalog: bytes = b"") -> bytes:
    """Return a PDF of one page; ``more`` are objects from number 5, ``catalog`` more keys of the first."""
    return document(
        [
            b"<</Type/Catalog/Pages 2 0 R%s>>" % catalog,
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<<%s>>>>" % resources,
            stream(b"", content),
            *more,
        ]
    )


def nested_forms(levels: int = 12) -> bytes:
    """Return a page whose forms draw each other 10^levels times."""
    forms = []
    for level in range(levels):
        inner = b"/XObject<</F %d 0 R>>" % (6 + level) if level < levels - 1 else b""
        content = b"/F Do " * 10 if level < levels - 1 else b"0 0 9 9 re f " * 10
        forms.append(stream(b"/Type/XObject/Subtype/Form/BBox[0 0 200 200]/Resources<<%s>>" % inner, content))
    return page(b"/F Do " * 10, b"/XObject<</F 5 0 R>>", *forms)


def tiny_tiles() -> bytes:
    """Return a page painted with a pattern whose steps are a thousandth of a point."""
    pattern = stream(
        b"/Type/Pattern/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 10 10]/XStep .001/YStep .001"
        b"/Resources<<>>",
        b"0 0 5 5 re f 1 0 0 rg 2 2 9 9 re f",
    )
    return page(b"/Pattern cs /P scn 0 0 200 200 re f", b"/Pattern<</P 5 0 R>>", pattern)


def long_content() -> bytes:
    """Return a page of many overlapping transparent strokes."""
    states = b"/ExtGState<</G<</ca .5/CA .5/BM/Luminosity>>>>"
    return page(b"/G gs " + b"0 0 m 200 200 l 200 0 l 0 200 l b* " * 60_000, states)


def damaged_jbig2(side: int = 20_000, regions: int = 1000) -> bytes:
    """Return a page with a JBIG2 image of many regions, each far larger than its few bytes of data."""

    def segment(number: int, type_: int, data: bytes) -> bytes:
        return struct.pack(">IBBBI", number, type_, 0, 1, len(data)) + data

    image = segment(0, 48, struct.pack(">IIIIBH", side, side, 0, 0, 0, 0))
    region = struct.pack(">IIIIBB", side, side, 0, 0, 0, 0) + b"\x03\xff\xfd\xff\x02\xfe\xfe\xfe" + b"\0" * 8
    image += b"".join(segment(number, 38, region) for number in range(1, regions + 1))
    dictionary = b"/Type/XObject/Subtype/Image/Width %d/Height %d" % (side, side)
    dictionary += b"/ColorSpace/DeviceGray/BitsPerComponent 1/Filter/JBIG2Decode"
    resources = b"/XObject<</I 5 0 R>>"
    return page(b"200 0 0 200 0 0 cm /I Do", resources, stream(dictionary, image))
