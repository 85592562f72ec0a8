"""``harness evaluate``: scores any features."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from harness.cli.options import JsonOption
from harness.display.console import counting, print_json


def evaluate(
    features: Annotated[
        Path,
        typer.Argument(
            metavar="FEATURES.npz",
            help="Arrays query_features (Q, D), query_ids, query_cameras (Q,), and gallery_* in the same "
            "shapes; labels are integers or text.",
            show_default=False,
        ),
    ],
    rerank: Annotated[bool, typer.Option("--rerank", help="With k-reciprocal re-ranking (Zhong et al. 2017).")] = False,
    metric: Annotated[Literal["euclidean", "cosine"], typer.Option("--metric")] = "euclidean",
    ap: Annotated[
        Literal["step", "trapezoid"], typer.Option("--ap", help="Average precision: mean at the hits, or trapezoids.")
    ] = "step",
    k1: Annotated[int, typer.Option("--k1", min=1, help="Re-ranking: neighbours of a box.")] = 20,
    k2: Annotated[int, typer.Option("--k2", min=1, help="Re-ranking: neighbours averaged over.")] = 6,
    lambda_: Annotated[
        float, typer.Option("--lambda", min=0.0, max=1.0, help="Re-ranking: share of the original distance.")
    ] = 0.3,
    json: JsonOption = False,
) -> None:
    """Score features by the Market-1501 protocol: mAP, CMC ranks, mINP."""
    from harness.reid.evaluate import evaluate_file
    from harness.reid.metrics import METRICS

    with counting("scoring") as progress:
        scores = evaluate_file(
            features, rerank=rerank, metric=metric, ap=ap, k1=k1, k2=k2, lambda_=lambda_, progress=progress
        )
    if json:
        print_json(scores)
        return
    for name, shown in METRICS["market"].items():
        if name in scores:
            typer.echo(f"{name:<14} " + (f"{100 * scores[name]:6.2f} %" if shown.percent else f"{scores[name]:6.3f}"))
    typer.echo(f"valid queries  {scores['valid_queries']} of {scores['queries']}")
    typer.echo(f"AP formula     {ap}; distance {metric}{'; re-ranked' if rerank else ''}")
    typer.echo(f"time           {scores['seconds']:.2f} s, peak memory {scores['peak_memory_mb']:.0f} MB")
    if scores["startup_seconds"] > 2.0:
        typer.echo(f"               and {scores['startup_seconds']:.1f} s, once per machine, to compile inner loops")
