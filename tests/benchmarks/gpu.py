"""Everything worth knowing about a GPU, measured in minutes: whether it is right and fast, and what bounds it.

    python tests/benchmarks/gpu.py --out FOLDER [--minutes 8] [--device cuda|cpu] [--scale paper|tiny] [--parts NAME ..]

The parts run in order of value, each in its own process with its own budget. ``FOLDER/gpu.json`` holds what was
measured so far, complete at any moment; ``FOLDER/gpu.log`` what the parts printed. A part that fails or runs out of
time affects no other part, and the command ends in time. It needs no network, no data set and no git. ``report.py
FOLDER --update`` then writes the figures into ``reports/benchmarks.md``. With ``--device cpu --scale tiny`` the same
code runs on a CPU.
"""

import argparse
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # on a machine with only the working tree, the project is not installed

from gpu_runner import GRACE_S, Ended, Part, ending_on_signals, keep, run_parts, scaled  # noqa: E402

KEPT = "gpu.json"
HERE = Path(__file__).parent


def parts(scale: str, device: str, shared: Path) -> list[Part]:
    """All parts in order of value; budgets are seconds out of eight minutes. Some share the images in ``shared``."""
    tiny, on = scale == "tiny", ("--device", device)

    def part(name: str, budget_s: float, script: str, *words: str, small: tuple[str, ...] = ()) -> Part:
        return Part(name, (str(HERE / script), *on, *words, *(small if tiny else ())), budget_s)

    size = ("--scale", "demo", "--batch", "12") if tiny else ("--scale", "paper")
    speed = (*size, *(("--steps", "1", "--windows", "1") if tiny else ()))
    return [
        part("tests", 90, "gpu_tests.py", small=("--select", "not two_workers and not out_of_memory")),
        part("demo", 100, "gpu_demo.py", "--shared", str(shared), small=("--tiny",)),
        part("step", 110, "gpu_step.py", *speed),
        part("profile", 25, "gpu_profile.py", *size, small=("--steps", "2")),
        part("evaluate", 45, "gpu_evaluate.py", small=("--shrink", "40")),
        part("compile", 45, "gpu_step.py", *speed, "--compile", small=("--networks", "plain")),
        part("data", 20, "data.py", small=("--identities", "40", "--repeats", "1")),
        part("checkpoint", 10, "checkpoint.py", small=("--scale", "demo", "--repeats", "1")),
        part("losses", 10, "losses.py", small=("--repeats", "5")),
        part("stages", 35, "gpu_stages.py", "--shared", str(shared), small=("--tiny",)),
    ]


def main() -> None:
    """Runs the parts and saves what they measured."""
    started = time.monotonic()
    options = read_options()
    environment = environment_for(options.device)
    total_s = 60.0 * options.minutes
    kept: dict[str, Any] = {
        "command": f"python tests/benchmarks/gpu.py --minutes {options.minutes:g} --device {options.device} "
        f"--scale {options.scale}",
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "parts": {},
    }
    options.out.mkdir(parents=True, exist_ok=True)

    def on_end(part: Part, limit_s: float, ended: Ended) -> None:
        kept["parts"][part.name] = {
            "status": ended.status,
            "seconds": round(ended.seconds, 1),
            "budget_s": round(limit_s, 1),
            "reason": ended.reason,
            "measured": ended.measured,
        }
        keep(options.out / KEPT, kept)
        print(line(part, limit_s, ended, time.monotonic() - started), flush=True)

    with ending_on_signals(), TemporaryDirectory(ignore_cleanup_errors=True) as shared:
        listed = parts(options.scale, options.device, Path(shared))
        try:
            run_parts(
                scaled(
                    [part for part in listed if not options.parts or part.name in options.parts],
                    max(1.0, total_s - 2 * GRACE_S),
                ),
                options.out,
                deadline=started + total_s - GRACE_S,
                environment=environment,
                on_end=on_end,
            )
        except KeyboardInterrupt:
            print("interrupted; what was measured is kept", flush=True)
            raise SystemExit(130) from None
    failed = [name for name, part in kept["parts"].items() if part["status"] != "ok"]
    print(f"{options.out / KEPT}: {len(kept['parts']) - len(failed)} of {len(kept['parts'])} parts whole", flush=True)
    raise SystemExit(1 if failed else 0)


def line(part: Part, limit_s: float, ended: Ended, at_s: float) -> str:
    """The line to print about a part."""
    timing = f"{at_s:5.0f} s  {part.name:11}{ended.status:10}{ended.seconds:6.1f} of {limit_s:.0f} s"
    summary = (ended.measured or {}).get("note", "").partition(";")[0]
    return "  ".join(text for text in (timing, ended.reason, summary) if text)


def read_options() -> argparse.Namespace:
    """The options; a missing device is refused at once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all of it")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--scale", choices=["paper", "tiny"], default="paper")
    names = [part.name for part in parts("paper", "cuda", Path())]
    parser.add_argument("--parts", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    options = parser.parse_args()
    options.out = options.out.absolute()
    if options.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            parser.error(
                f"--device cuda: torch {torch.__version__} finds no CUDA device; expected one, or --device cpu"
            )
    return options


def environment_for(device: str) -> dict[str, str]:
    """The environment of the parts: the project on the path, unbuffered output, no network.

    If a CPU was requested, no GPU, no compiler (minutes for each network), and one thread: small steps on several
    threads of a busy machine wait for the slowest at every operation.
    """
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "HF_HUB_OFFLINE": "1"}
    on_cpu = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "TORCH_COMPILE_DISABLE": "1"}
    return {**os.environ, **variables, **(on_cpu if device == "cpu" else {})}


if __name__ == "__main__":
    main()
