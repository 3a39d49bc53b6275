"""The command: ``python -m benchmarks --preset small``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks import synthetic, table
from benchmarks.baseline import Baseline
from benchmarks.components import Components
from benchmarks.environment import add_device_options, environment, pick
from benchmarks.experiments import Experiments
from benchmarks.loaded_engine import LoadedEngine
from benchmarks.presets import PRESETS, build
from benchmarks.profile import shares
from benchmarks.scenarios import SCENARIOS, Setup
from benchmarks.stages import stages
from benchmarks.timing import Timing, cpu_clock, interleave, matmul_rate


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure; print the results as tables and write them to a JSON file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="small", help="size of the model")
    add_device_options(parser, threads=None)
    parser.add_argument("--attention", default="auto", choices=["auto", "sdpa", "flash", "eager"])
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="repeatable; all by default")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each variant")
    parser.add_argument("--no-stages", action="store_true", help="only the scenarios")
    parser.add_argument("--json", type=Path, help="output file for all results")
    args = parser.parse_args(arguments)
    device, dtype = pick(args)
    preset = PRESETS[args.preset]
    model = build(preset, device, dtype, args.attention)
    side = preset.max_side
    setup = Setup(
        Baseline(model, side), LoadedEngine(model), Components(model, side), Experiments(model), side
    )
    rate = matmul_rate(device, dtype)
    results: dict[str, object] = {
        **environment("benchmarks", arguments, device),
        "preset": args.preset,
        "dtype": str(dtype).removeprefix("torch."),
        "clock": "CPU seconds" if cpu_clock(device) is time.process_time else "seconds",
        "matmul_flops_per_second": rate,
        "stages": {} if args.no_stages else stages(setup, preset, rate, args.repeats),
        "profile": {} if args.no_stages else shares(setup),
    }
    sys.stdout.write(table.head(results))
    scenarios: dict[str, object] = {}
    predicted: dict[str, dict[str, float]] = {}

    def save(name: str, timings: Mapping[str, Timing]) -> None:
        """Write all results after every round, so that a failure does not lose an hour of them."""
        scenarios[name] = {
            variant: {"median_s": timing.median, "seconds": timing.seconds, "peak_bytes": timing.peak}
            for variant, timing in timings.items()
        }
        if args.json is not None:
            measured = {**results, "scenarios": scenarios, "predicted_8b_tflop": predicted}
            args.json.write_text(json.dumps(measured, indent=1) + "\n")

    for name in args.scenario or SCENARIOS:
        scenario = SCENARIOS[name]
        if scenario.flops is not None:
            work = scenario.flops(PRESETS["8b"])
            predicted[name] = {variant: value / 1e12 for variant, value in work.items()}
        if not scenario.warmup:  # The first call of all has costs of its own.
            setup.baseline.rank(synthetic.queries(1)[0], synthetic.images(20, side))
        timings = interleave(
            scenario.variants(setup),
            args.repeats,
            device,
            warmup=scenario.warmup,
            clock=time.perf_counter if scenario.overlapping else cpu_clock(device),
            after_round=partial(save, name),
        )
        setup.engine.clear_cache()
        if scenario.flops is None:
            sys.stdout.write(table.scenario(scenario.title, scenario.baseline, timings))
        else:
            medians = {variant: timing.median for variant, timing in timings.items()}
            sys.stdout.write(table.whole_calls(scenario.title, medians, predicted[name]))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
