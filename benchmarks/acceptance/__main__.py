"""The command: ``python -m benchmarks.acceptance --json FILE``; at most nine minutes on an H100 or H200.

It needs torch, transformers, pillow, numpy, tokenizers, safetensors and tqdm. On a CPU it runs the `small`
preset in three minutes.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.acceptance import clients, correctness, hardware, memory_limits, speed, variants
from benchmarks.acceptance.report import Report, Row
from benchmarks.acceptance.setup import Setup
from benchmarks.environment import environment
from benchmarks.presets import PRESETS
from ziprerank_integrations.engine.checkpoint import pick_device
from ziprerank_integrations.engine.device import release_memory
from ziprerank_integrations.errors import MissingDependencyError

STEPS: dict[str, Callable[[Setup], list[Row]]] = {
    "kernels": hardware.kernels,
    "rates": hardware.rates,
    "bundled checkpoint": correctness.bundled,
    "float32": correctness.single_precision,
    "attention": correctness.attention,
    "half precision": correctness.half_precision,
    "repeatable": correctness.repeatable,
    "language model": speed.language,
    "vision tower": speed.tower,
    "window": speed.window,
    "second attempt": memory_limits.second_attempt,
    "host tier": memory_limits.host_tier,
    "peaks": memory_limits.peaks,
    "clients": clients.clients,
    "100 pages": speed.hundred,
    "pointwise": speed.pointwise,
    "compiled": variants.compiled,
    "fp8": variants.fp8,
}
_CUDA_ONLY = ("second attempt", "peaks", "fp8")
_CORRECTNESS = ("bundled checkpoint", "float32", "attention", "half precision", "repeatable", "host tier")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps; return 1 if a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.acceptance", description=__doc__)
    parser.add_argument("--json", type=Path, help="output file; a table is written beside it")
    parser.add_argument("--preset", choices=PRESETS, help="8b on CUDA, small elsewhere")
    parser.add_argument(
        "--dtype", choices=["float32", "bfloat16"], help="bfloat16 on CUDA, float32 elsewhere"
    )
    parser.add_argument("--step", action="append", choices=STEPS, help="repeatable; all by default")
    parser.add_argument("--correctness", action="store_true", help="only the steps that do not measure speed")
    parser.add_argument("--seconds", type=float, default=520, help="no step starts after this time")
    args = parser.parse_args(arguments)
    device = pick_device(None)
    cuda = device.type == "cuda"
    setup = Setup(
        args.preset or ("8b" if cuda else "small"),
        device,
        getattr(torch, args.dtype or ("bfloat16" if cuda else "float32")),
        time.monotonic() + args.seconds,
    )
    report = Report(environment("benchmarks.acceptance", arguments, device), args.json)
    for name in args.step or (_CORRECTNESS if args.correctness else STEPS):
        if name in _CUDA_ONLY and not cuda:
            report.skip(name, "only on CUDA")
            continue
        if time.monotonic() > setup.deadline:
            report.skip(name, "no time left")
            continue
        begin = time.monotonic()
        try:
            rows = STEPS[name](setup)
        except (ImportError, MissingDependencyError) as error:
            report.skip(name, f"not importable: {error}")
        except Exception as error:
            traceback.print_exc()
            report.skip(name, f"error: {type(error).__name__}: {str(error)[:300]}")
        else:
            report.add(name, rows, time.monotonic() - begin)
        release_memory(device)
    failed = report.failed
    sys.stdout.write(f"\n{'FAIL: ' + '; '.join(failed) if failed else 'PASS'}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
