"""Small files in exactly MMDocIR's schema."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.conftest import picture

DOCUMENTS = {"report one.pdf": ("Financial report", 7), "guide.pdf": ("Guidebook", 5), "law.pdf": ("Laws", 3)}
WORDS = ["harbour", "energy", "tax", "library", "glass", "bridge", "school"]


def make(folder: Path) -> tuple[Path, Path]:
    """Write the pages and the annotations of three documents into a folder."""
    rows: list[dict[str, Any]] = []
    lines = []
    for name, (domain, count) in DOCUMENTS.items():
        first = len(rows)
        for page in range(count):
            buffer = io.BytesIO()
            picture(len(rows), (80, 100)).save(buffer, "JPEG")
            text = f"{WORDS[page]} " * 3 + "and some more words"
            rows.append(
                {
                    "doc_name": name,
                    "domain": domain,
                    "passage_id": str(page),
                    "image_path": f"page_images/{name}_{page}.jpg",
                    "image_binary": buffer.getvalue(),
                    "ocr_text": text,
                    "vlm_text": text,
                }
            )
        questions = [
            {
                "Q": f"What about the {WORDS[1]}?",
                "A": "a",
                "type": "Text",
                "page_id": [1],
                "layout_mapping": [],
            },
            {
                "Q": f"{WORDS[0]} or {WORDS[2]}",
                "A": "b",
                "type": "Table",
                "page_id": [0, 2],
                "layout_mapping": [],
            },
        ]
        indices = [first, len(rows) - 1]
        lines.append(
            {
                "doc_name": name,
                "domain": domain,
                "page_indices": indices,
                "layout_indinces": [0, 0],
                "questions": questions,
            }
        )
    pq.write_table(pa.Table.from_pylist(rows), folder / "pages.parquet", row_group_size=4)
    (folder / "annotations.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return folder / "pages.parquet", folder / "annotations.jsonl"
