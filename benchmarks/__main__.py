"""The command: ``python -m benchmarks --preset small``."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import transformers

from benchmarks import table
from benchmarks.ours import Ours
from benchmarks.parts import Parts
from benchmarks.plain import Plain
from benchmarks.presets import PRESETS, build
from benchmarks.profile import shares
from benchmarks.scenarios import SCENARIOS, Bench
from benchmarks.stages import stages
from benchmarks.timing import interleave, matmul_rate
from benchmarks.trials import Trials
from ziprerank_integrations.engine.checkpoint import pick_device


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write a table to stdout and everything to a JSON file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="small", help="size of the model")
    parser.add_argument("--device", help="cuda, mps or cpu; the best there is by default")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="bfloat16 on a GPU by default")
    parser.add_argument("--attention", default="auto", choices=["auto", "sdpa", "flash", "eager"])
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="repeatable; all by default")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each way")
    parser.add_argument("--threads", type=int, help="CPU threads for torch")
    parser.add_argument("--json", type=Path, help="where the figures go")
    asked = parser.parse_args(arguments)
    if asked.threads is not None:
        torch.set_num_threads(asked.threads)
    device = pick_device(asked.device)
    dtype = getattr(torch, asked.dtype or ("float32" if device.type == "cpu" else "bfloat16"))
    preset = PRESETS[asked.preset]
    subject = build(preset, device, dtype, asked.attention)
    side = preset.max_side
    bench = Bench(Plain(subject, side), Ours(subject), Parts(subject, side), Trials(subject), side)
    rate = matmul_rate(device, dtype)
    figures: dict[str, object] = {
        "command": " ".join(["python -m benchmarks", *(sys.argv[1:] if arguments is None else arguments)]),
        "machine": _machine(device),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "preset": asked.preset,
        "dtype": str(dtype).removeprefix("torch."),
        "matmul_flops_per_second": rate,
        "stages": stages(bench, preset, rate),
        "profile": shares(bench),
    }
    sys.stdout.write(table.head(figures))
    scenarios: dict[str, object] = {}
    for name in asked.scenario or SCENARIOS:
        one = SCENARIOS[name]
        timed = interleave(one.make(bench), asked.repeats, device, rehearse=one.rehearse)
        bench.ours.forget()
        scenarios[name] = {
            way: {"median_s": taken.median, "seconds": taken.seconds, "peak_bytes": taken.peak}
            for way, taken in timed.items()
        }
        sys.stdout.write(table.scenario(one.title, one.baseline, timed))
        sys.stdout.flush()
        # After every scenario: an hour's figures should not hang on the last one.
        if asked.json is not None:
            asked.json.write_text(json.dumps({**figures, "scenarios": scenarios}, indent=1) + "\n")


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} threads"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
