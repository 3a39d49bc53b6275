"""The dataset of all evaluation tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import mmdocir as mmdocir_files


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return mmdocir_files.make(tmp_path_factory.mktemp("mmdocir"))
