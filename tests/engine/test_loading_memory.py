"""Host memory while a checkpoint is loaded: no second copy of the weights, in a child process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from benchmarks.presets import Preset, write

PRESET = Preset((2, 256, 4, 1024, (0, 1)), (2, 384, 6, 2, 64, 1152, 32_768), 128, 2, (2, 2))
CHILD = """
import json, sys, threading, time
import torch
from ziprerank_integrations import ZipReranker

def anonymous():
    status = open("/proc/self/status").read()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024

torch.set_num_threads(1)
ZipReranker("tiny", device="cpu", dtype="float32").load()  # imports everything
grown = {}
for name in sys.argv[1:]:
    peak = before = anonymous()
    ended = threading.Event()
    def sample():
        global peak
        while not ended.wait(0.001):
            peak = max(peak, anonymous())
    thread = threading.Thread(target=sample)
    thread.start()
    with ZipReranker(name, device="cpu", dtype="float32") as reranker:
        reranker.load()
        ended.set()
        thread.join()
    grown[name] = peak - before
print(json.dumps(grown))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_loading_makes_one_copy_of_converted_weights_and_none_of_others(tmp_path: Path) -> None:
    same = write(PRESET, tmp_path / "float32")
    other = Path(shutil.copytree(same, tmp_path / "bfloat16"))
    (path,) = other.glob("*.safetensors")
    weights = path.stat().st_size
    assert weights > 100e6
    halves = {name: weight.bfloat16() for name, weight in load_file(path).items()}
    save_file(halves, path, {"format": "pt"})
    command = [sys.executable, "-c", CHILD, str(same), str(other)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    grown = json.loads(result.stdout.splitlines()[-1])
    assert grown[str(same)] < 0.5 * weights  # the file is mapped into memory, and read when it is used
    assert 0.7 * weights < grown[str(other)] < 1.5 * weights
