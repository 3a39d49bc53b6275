"""The example files of the page."""

from __future__ import annotations

from ziprerank_integrations.demo.examples import example_files


def test_the_three_example_files_are_found() -> None:
    assert [path.name for path in example_files()] == [
        "annual_report.pdf",
        "house_file.pdf",
        "library_slides.pdf",
    ]
