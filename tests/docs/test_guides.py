"""The guides in docs/: their commands run as written, one after another."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.soak
def test_the_commands_of_the_training_guide_run(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (tmp_path / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
    commands = "set -e\n" + "".join(block for block in blocks if not block.startswith("pip install"))
    for command in ("stage2", "probe", "pointwise"):
        assert f"ziprerank train {command} " in commands
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", commands],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^tiny: Recall@1 \d\.\d\d$", done.stdout, re.MULTILINE)
    assert re.search(r"^build/adapt/adapted: Recall@1 \d\.\d\d$", done.stdout, re.MULTILINE)
    assert re.search(r"^suggested: exit: \d, band: ", done.stdout, re.MULTILINE)
    for name in ("adapted/model.safetensors", "pointwise/model.safetensors", "probe.png"):
        assert (tmp_path / "build/adapt" / name).exists()
