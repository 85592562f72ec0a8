"""How fast evaluation and re-ranking are, compared with the bare matrix products of the same run.

    python tests/benchmarks/evaluate.py                      # Market-1501's size, with re-ranking
    python tests/benchmarks/evaluate.py --gallery 100000     # a larger gallery, as many identities: more matches each
    python tests/benchmarks/evaluate.py --gallery 500000 --distractors 0.966   # Market-1501 and 480,000 distractors
    python tests/benchmarks/evaluate.py --device cuda:0 --json out.json

Features are synthetic: identities around centres, cameras that shift them, some boxes far harder than others. The bare
product is ``queries @ gallery.T`` in float32, whole and on all cores, by numpy or torch, whichever is faster here, into
fresh memory, with the result discarded (in strips where it would not fit). Ours and the bare product take turns;
seconds are medians, ratios the medians of each round's ratio. Ours waits until the idle threads that the bare product
leaves behind have gone to sleep: OpenBLAS lets them spin for a tenth of a second, on a core that ours needs by then.
(The bare product follows ours at once; ours leaves nothing spinning.) Our first call, which also loads or compiles the
inner loops, has its own column, and memory is its peak above what was resident before, which includes the features. The
plain numpy reference sorts rows of a full distance matrix, for some of the queries only; nothing is extrapolated. Peers
(``peers.py``) run once each if they are installed.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from measure import arguments, show
from peers import compare

from harness.reid.evaluate import evaluate_ranking, evaluate_reranked
from harness.reid.evaluate.memory import PeakMemory

IDENTITIES, CAMERAS, LATENT = 750, 6, 64
STRIP = 4096
REST_S = 0.2
"""The wait before each turn of ours, for the bare product's threads to go to sleep."""


def make_problem(
    queries: int,
    gallery: int,
    dimension: int,
    junk: int,
    distractors: float = 0.14,
    seed: int = 0,
    identities: int = IDENTITIES,
) -> tuple[np.ndarray, ...]:
    """Features, identities and cameras of both sides: rectified mixtures of ``LATENT`` factors."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((identities + 1, LATENT), dtype=np.float32)
    shifts = 0.3 * rng.standard_normal((CAMERAS, LATENT), dtype=np.float32)
    mixture = rng.standard_normal((LATENT, dimension), dtype=np.float32) / np.float32(np.sqrt(LATENT))

    def side(count: int, distractors: float) -> list[np.ndarray]:
        ids, cameras = rng.integers(1, identities + 1, count), rng.integers(0, CAMERAS, count)
        ids[rng.random(count) < distractors] = 0
        factors = rng.standard_normal((count, LATENT), dtype=np.float32)
        factors *= np.where(ids > 0, rng.uniform(0.2, 1.2, count), 1.0).astype(np.float32)[:, None]
        factors += shifts[cameras]
        factors[ids > 0] += centres[ids[ids > 0]]
        features = factors @ mixture
        np.maximum(features, 0.0, out=features)
        return [features, ids, cameras]

    query, others = side(queries, 0.0), side(gallery, distractors)
    others[1][:junk] = -1  # as in Market-1501, whose junk sorts first
    return (*query, *others)


def seconds_of(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bare_product(left: np.ndarray, right: np.ndarray, device: str) -> tuple[str, Callable[[], Any]]:
    """The fastest plain way to multiply here, and its name; strips of the left side where the result would not fit."""
    strip = len(left) if 4 * len(left) * len(right) < 600e6 else STRIP
    if device != "cpu":
        sides = torch.from_numpy(left).to(device), torch.from_numpy(right).to(device)

        def on_device() -> None:
            for first in range(0, len(left), strip):
                sides[0][first : first + strip] @ sides[1].T
            torch.cuda.synchronize()

        return "torch", on_device
    tensors = torch.from_numpy(left), torch.from_numpy(right)

    def by_numpy() -> None:
        for first in range(0, len(left), strip):
            left[first : first + strip] @ right.T

    def by_torch() -> None:
        for first in range(0, len(left), strip):
            tensors[0][first : first + strip] @ tensors[1].T

    ways = {"numpy": by_numpy, "torch": by_torch}
    part = slice(0, 512)
    trial = {
        "numpy": lambda: left[part] @ right[: 4 * STRIP].T,
        "torch": lambda: tensors[0][part] @ tensors[1][: 4 * STRIP].T,
    }
    name = min(ways, key=lambda way: min(seconds_of(trial[way]) for _ in range(3)))
    return name, ways[name]


def measure(title: str, ours: Callable[[], Any], bare: tuple[str, Callable[[], Any]], rounds: int) -> dict[str, Any]:
    """Times ours and the bare product in turns."""
    with PeakMemory() as memory:
        first = seconds_of(ours)
    bare[1]()
    pairs = []
    for _ in range(rounds):
        time.sleep(REST_S)
        seconds = seconds_of(ours)
        pairs.append((seconds_of(bare[1]), seconds))
    return {
        "what": title,
        "seconds": statistics.median(pair[1] for pair in pairs),
        "seconds_of_each_round": [round(pair[1], 3) for pair in pairs],
        "bare_seconds": statistics.median(pair[0] for pair in pairs),
        "bare_seconds_of_each_round": [round(pair[0], 3) for pair in pairs],
        "bare_by": bare[0],
        "ratio": statistics.median(pair[1] / pair[0] for pair in pairs),
        "first_call_seconds": first,
        "peak_above_mb": (memory.peak_bytes - memory.start_bytes) / 1e6,
    }


def reference(problem: tuple[np.ndarray, ...], count: int) -> np.ndarray:
    """Average precision of the first ``count`` queries, the plain way: all distances, every row sorted."""
    query, ids, cameras, gallery, gallery_ids, gallery_cameras = problem
    squares = (query[:count].astype(float) ** 2).sum(1)[:, None] + (gallery.astype(float) ** 2).sum(1)
    squares -= 2.0 * (query[:count] @ gallery.T)
    result = np.full(count, np.nan)
    for row in range(count):
        order = np.argsort(squares[row], kind="stable")
        left_out = (gallery_ids[order] == ids[row]) & (gallery_cameras[order] == cameras[row])
        order = order[~left_out & (gallery_ids[order] != -1)]
        ranks = np.flatnonzero(gallery_ids[order] == ids[row]) + 1
        if len(ranks):
            result[row] = (np.arange(1, len(ranks) + 1) / ranks).mean()
    return result


def main() -> None:
    """Measures both, and the peers that are installed."""
    options = arguments(
        __doc__,
        ("--queries", {"type": int, "default": 3368}),
        ("--gallery", {"type": int, "default": 19732}),
        ("--dimension", {"type": int, "default": 1024}),
        ("--junk", {"type": int, "default": 0, "help": "boxes of identity -1; Market-1501 has 3819"}),
        ("--distractors", {"type": float, "default": 0.14, "help": "share of the gallery; Market-1501 has 0.14"}),
        ("--rounds", {"type": int, "default": 5}),
        ("--no-rerank", {"action": "store_true"}),
        ("--no-peers", {"action": "store_true", "help": "leave out other projects' evaluators"}),
        ("--reference-queries", {"type": int, "default": 200}),
    )
    problem = make_problem(options.queries, options.gallery, options.dimension, options.junk, options.distractors)
    query, gallery, device = problem[0], problem[3], str(options.device)
    found: dict[str, Any] = {}

    def rank() -> None:
        found["rank"] = evaluate_ranking(*problem, device=device)

    def rerank() -> None:
        evaluate_reranked(*problem, device=device)

    rows = [measure("distances, CMC, mAP, mINP", rank, bare_product(query, gallery, device), options.rounds)]
    if not options.no_rerank:
        both = np.concatenate([query, gallery])
        rows.append(
            measure("the same, re-ranked", rerank, bare_product(both, both, device), max(1, options.rounds // 2))
        )
    note = against_reference(problem, found["rank"].average_precision, min(options.reference_queries, len(query)))
    peers, missing = ([], []) if options.no_peers else compare(problem)
    note += f"; not installed: {', '.join(missing)}" if missing else ""
    show([columns(row) for row in rows], options, note=note, further=further(peers))


def columns(row: dict[str, Any]) -> dict[str, Any]:
    """A line of the table: medians of the rounds."""
    return {
        "what": row["what"],
        "ours s": row["seconds"],
        "bare product s": row["bare_seconds"],
        "by": row["bare_by"],
        "ratio": row["ratio"],
        "first call s": row["first_call_seconds"],
        "MB above": row["peak_above_mb"],
    }


def further(peers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The peers as a separate table; nothing if none is installed."""
    lines = [
        {
            "peer": f"{peer['peer']} ({peer['what']})",
            "queries": peer["queries"],
            "gallery": peer["gallery"],
            "its s": peer["seconds"],
            "ours s": peer["ours_seconds"],
            "its MB above": peer["peak_above_mb"],
            "its mAP less ours": f"{peer['mAP_less_ours']:+.1e}",
            "its rank-1 less ours": f"{peer['rank1_less_ours']:+.1e}",
            "formula": peer["formula"],
        }
        for peer in peers
    ]
    return [{"what": "Other evaluators on the same features, once each", "rows": lines}] if lines else []


def against_reference(problem: tuple[np.ndarray, ...], found: np.ndarray, count: int) -> str:
    """Seconds of the plain reference on the first ``count`` queries, and how much ``found`` differs from it."""
    started = time.perf_counter()
    expected = reference(problem, count)
    seconds = time.perf_counter() - started
    return (
        f"{len(problem[0]):,} queries, {len(problem[3]):,} gallery boxes, {problem[0].shape[1]:,} dimensions; plain "
        f"numpy on the first {count} queries: {seconds:.2f} s, average precision differs by "
        f"{float(np.nanmax(np.abs(expected - found[:count]))):.1e} at most"
    )


if __name__ == "__main__":
    main()
