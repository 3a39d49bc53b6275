"""Optional dependencies: imported, missing, or installed and broken."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ziprerank_integrations import errors
from ziprerank_integrations.errors import NOT_INSTALLED, MissingDependencyError, import_problem, require

BROKEN = {
    "wrong_abi": "raise ImportError('/lib/wrong_abi.so: undefined symbol: _ZN3c10')",
    "no_library": "raise OSError('libcudart.so.11.0: cannot open shared object file')",
    "old_numpy": "raise AttributeError('_ARRAY_API not found')",
    "needs_other": "import a_module_that_does_not_exist",
}


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages that are installed and cannot be imported."""
    for name, line in BROKEN.items():
        (tmp_path / f"{name}.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(errors, "_BROKEN", {})
    yield tmp_path


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("wrong_abi", "undefined symbol"),
        ("no_library", "libcudart"),
        ("old_numpy", "_ARRAY_API"),
        ("needs_other", "No module named 'a_module_that_does_not_exist'"),
    ],
)
def test_a_broken_dependency_is_reported_with_its_reason(broken: Path, module: str, reason: str) -> None:
    with pytest.raises(
        MissingDependencyError, match=f"ranking needs {module}, which is installed and"
    ) as caught:
        require(module, "local", purpose="ranking")
    assert reason in str(caught.value)


def test_the_first_reason_is_kept(broken: Path) -> None:
    first = import_problem("wrong_abi")
    (broken / "wrong_abi.py").write_text("raise ImportError('partially initialized module')")
    assert first is not None and import_problem("wrong_abi") == first


def test_a_missing_dependency_can_be_installed_later(broken: Path) -> None:
    assert import_problem("installed_later") == NOT_INSTALLED
    (broken / "installed_later.py").write_text("")
    sys.path_importer_cache.clear()
    assert import_problem("installed_later") is None
    assert require("installed_later", "local").__name__ == "installed_later"
    del sys.modules["installed_later"]
