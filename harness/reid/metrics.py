"""The metrics of the two protocols."""

from collections.abc import Mapping

from harness.trainer import Metric

RANKS = (1, 5, 10, 20)
"""The ranks of the CMC that are reported, each at most 50."""

METRICS: Mapping[str, Mapping[str, Metric]] = {
    "market": {
        metric.key: metric
        for metric in (
            Metric("mAP", "mAP"),
            *(Metric(f"rank{rank}", f"Rank-{rank}") for rank in RANKS),
            Metric("mINP", "mINP"),
            Metric("attention_overlap", "Overlap of attention maps"),
        )
    },
    "classification": {
        metric.key: metric
        for metric in (
            Metric("error", "Error", better="lower", decimals=2),
            Metric("top5_error", "Top-5 error", better="lower", decimals=2),
        )
    },
}
"""By evaluation protocol, and by key."""
