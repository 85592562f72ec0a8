"""A stage of kind ``evaluate``: features of the test images under the parent's weights, and the protocol's metrics."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.devices import device_name
from harness.reid.data import Dataset, Split
from harness.reid.data.batches import Feeder
from harness.reid.data.dataset import Ids
from harness.reid.evaluate import RankingResult, evaluate_ranking, evaluate_reranked
from harness.reid.files import ATTENTION, PER_QUERY
from harness.reid.losses import attention_maps
from harness.reid.metrics import RANKS
from harness.reid.models.cost import Cost, network_cost
from harness.reid.models.network import Network
from harness.reid.models.output import Output
from harness.reid.own_metrics import ScoredClassification, ScoredRetrieval, own_metrics
from harness.reid.recipe import EvaluationSpec
from harness.reid.train.device import DeviceMeter, arithmetic, prepare_device
from harness.reid.train.features import Extractor, batches_of, trained_network
from harness.reid.train.images import feed, open_images, trained_classes
from harness.reid.train.loop import Emit
from harness.reid.train.settings import EvaluateSettings, Resources
from harness.units import Floats, Units, write_units

_PICTURES = 8
"""Query images whose attention maps are kept for Figure 3, spread evenly over the queries."""


def evaluate_stage(
    settings: Mapping[str, Any], context: Mapping[str, Any], folder: Path, parent_folder: Path, emit: Emit
) -> dict[str, Any]:
    """Scores the parent's network and leaves what the statistics and figures need in ``folder``.

    ``units.npz`` holds each metric by query or image. For retrieval, ``per_query.npz`` holds ``average_precision``,
    ``first_hit_rank``, ``inp``, ``valid`` (Q,), ``top_indices`` (Q, 10) and the files, identities and cameras of
    queries and gallery. ``attention.npz`` (networks whose levels share one size) holds ``images`` (n, H, W, 3) uint8
    and ``maps`` (n, levels, h, w) of a few queries.

    Returns:
        ``metrics`` (fractions), ``images`` that were scored, ``seconds`` of all of it, ``images_per_s`` of the network
        alone, ``parameters``, ``multiply_adds``, ``device``, peak memory and ``notes``.
    """
    stage, resources = EvaluateSettings.read(settings), Resources.read(context)
    device = prepare_device(resources)
    meter, started = DeviceMeter(device), time.monotonic()
    emit({"doing": "checking the data set"})
    dataset = open_images(resources, stage.images, training=False)
    emit({"doing": "building the network and loading its weights"})
    network = trained_network(stage.model, stage.images.height_px, stage.images.width_px, parent_folder)
    network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    with arithmetic(device, tf32=stage.arithmetic.tf32, deterministic=stage.arithmetic.deterministic):
        extractor = Extractor(network, stage, device, resources.threads, emit)
        score = _score_retrieval if stage.evaluation.protocol == "market" else _score_classification
        metrics, notes = score(dataset, stage, resources, extractor, folder)
    seconds = time.monotonic() - started
    return {
        "metrics": metrics,
        "images": sum(len(split) for name, split in dataset.splits.items() if name != "train"),
        "seconds": seconds,
        "images_per_s": extractor.images / extractor.seconds,
        "device": device_name(str(device)),
        "threads": resources.threads,
        "notes": notes,
        **asdict(_cost(stage, network)),
        **meter.result(),
    }


def _cost(stage: EvaluateSettings, network: Network) -> Cost:
    """Of one image at test time; retrieval has no use for the classifier, so it does not count there."""
    classifier = network.classifier if stage.evaluation.protocol == "classification" else None
    return network_cost(
        **stage.model,
        classes=None if classifier is None else classifier.out_features,
        height_px=stage.images.height_px,
        width_px=stage.images.width_px,
    )


def _score_retrieval(
    dataset: Dataset, stage: EvaluateSettings, resources: Resources, extractor: Extractor, folder: Path
) -> tuple[dict[str, float], list[str]]:
    query, gallery = dataset.splits["query"], dataset.splits["gallery"]
    query_images, gallery_images = (
        feed(dataset, split, resources, stage.images, extractor.device, extractor.emit) for split in (query, gallery)
    )
    query_features, *query_attention = extractor.over(query_images, len(query), _embedding_and_attention)
    (gallery_features,) = extractor.over(gallery_images, len(gallery), lambda output: [output.embedding])
    query_cameras, gallery_cameras, notes = comparable_cameras(query, gallery)
    extractor.emit({"doing": "ranking the gallery"})
    result = rank(
        stage.evaluation,
        resources,
        (query_features, query.identities, query_cameras),
        (gallery_features, gallery.identities, gallery_cameras),
    )
    if result.valid_queries < result.queries:
        notes.append(
            f"{result.queries - result.valid_queries} of {result.queries} queries have no match and are left out"
        )
    np.savez_compressed(
        folder / PER_QUERY,
        average_precision=result.average_precision,
        first_hit_rank=result.first_hit_rank,
        inp=result.inp,
        valid=~np.isnan(result.average_precision),
        top_indices=result.top_indices,
        query_files=np.asarray([query.image_name(index) for index in range(len(query))]),
        query_ids=query.identities,
        query_cameras=_cameras(query),
        gallery_files=np.asarray([gallery.image_name(index) for index in range(len(gallery))]),
        gallery_ids=gallery.identities,
        gallery_cameras=_cameras(gallery),
    )
    metrics, valid = dict(result.metrics()), ~np.isnan(result.average_precision)
    scored = ScoredRetrieval(
        query_features.numpy(),
        gallery_features.numpy(),
        query.identities,
        gallery.identities,
        query_cameras,
        gallery_cameras,
        result.average_precision,
        result.first_hit_rank,
        result.top_indices,
    )
    own, values = own_metrics(stage.evaluation.metrics, scored, valid)
    metrics |= own
    for maps in query_attention:
        overlaps = _keep_attention(query_images, maps, folder)
        if maps.shape[1] < 2:  # a backbone of one level: a map to look at, and none to compare it with
            continue
        metrics["attention_overlap"] = float(overlaps.mean())
        if valid.all():
            values["attention_overlap"] = overlaps.double().numpy()
    _write_query_units(folder, query, result, values, _source(stage))
    return metrics, notes


def _source(stage: EvaluateSettings) -> str:
    """The fingerprint of the split that queries or test images are of; those held out are of the training split."""
    splits = stage.images.splits
    return next((splits[name] for name in ("query", "test", "train") if name in splits), "")


def _write_query_units(
    folder: Path, query: Split, result: RankingResult, more: Mapping[str, Floats], source: str
) -> None:
    """Writes the queries' values of each metric; the queries of one identity are drawn together.

    Queries without a match count in no metric of the ranking, so only where all have one is the overlap, a mean over
    all queries, a mean over units.
    """
    valid = ~np.isnan(result.average_precision)
    values = {"mAP": result.average_precision[valid], "mINP": result.inp[valid]}
    values |= {f"rank{k}": (result.first_hit_rank[valid] <= k).astype(np.float64) for k in RANKS}
    values |= more
    names = np.asarray([query.image_name(int(index)) for index in np.flatnonzero(valid)])
    write_units(folder, Units(values, names, query.identities[valid], "queries", "identities", source))


def rank(
    evaluation: EvaluationSpec,
    resources: Resources,
    query: tuple[Tensor, Ids, Ids],
    gallery: tuple[Tensor, Ids, Ids],
) -> RankingResult:
    """The protocol's ranking of features, each with its images' identities and cameras, re-ranked if it says so."""
    metric, ap, rerank = evaluation.metric, evaluation.ap, evaluation.rerank
    device, threads = resources.device, resources.threads
    if not rerank.enabled:
        return evaluate_ranking(*query, *gallery, metric=metric, ap=ap, device=device, threads=threads)
    return evaluate_reranked(
        *query,
        *gallery,
        metric=metric,
        ap=ap,
        k1=rerank.k1,
        k2=rerank.k2,
        lambda_=rerank.lambda_,
        device=device,
        threads=threads,
    )


def comparable_cameras(query: Split, gallery: Split) -> tuple[Ids, Ids, list[str]]:
    """The cameras to score queries and gallery by, and a note if the protocol had to give way.

    The Market protocol leaves out matches from the query's own camera. Photographs of a single camera (or of none that
    is known) would leave no match at all; for those, matches from the same camera are kept, and the note says so.
    """
    of_query, of_gallery = _cameras(query), _cameras(gallery)
    if len(np.union1d(of_query, of_gallery)) > 1:
        return of_query, of_gallery, []
    note = "all images are of one camera: matches from the query's own camera are kept, unlike the Market protocol"
    return of_query - 1, of_gallery, [note]


def _cameras(split: Split) -> Ids:
    return np.zeros(len(split), dtype=np.int64) if split.cameras is None else split.cameras


def _embedding_and_attention(output: Output) -> list[Tensor]:
    """The embeddings (B, D) and, if all levels' maps are of one size, their attention (B, levels, h, w)."""
    sizes = {tuple(level.shape[-2:]) for level in output.maps}
    if len(sizes) > 1:
        return [output.embedding]
    (size,) = sizes
    return [output.embedding, torch.stack([attention_maps(level).view(-1, *size) for level in output.maps], dim=1)]


def _keep_attention(images: Feeder, maps: Tensor, folder: Path) -> Tensor:
    """Keeps attention maps of a few queries and returns each query's overlap of the levels' maps, (Q,).

    The overlap of an image is the mean cosine between the map of its last stage and those of the stages before
    (eq. 2 of the paper is 2 - 2 cosine, summed over these pairs).
    """
    chosen = np.unique(np.linspace(0, len(maps) - 1, _PICTURES).round().astype(np.int64))
    (batch,) = batches_of(images, [chosen])
    np.savez_compressed(folder / ATTENTION, images=batch.pixels().cpu().numpy(), maps=maps[chosen].numpy())
    cosines = (maps[:, -1:] * maps[:, :-1]).sum(dim=(-2, -1))
    return cosines.mean(dim=1)


def _score_classification(
    dataset: Dataset, stage: EvaluateSettings, resources: Resources, extractor: Extractor, folder: Path
) -> tuple[dict[str, float], list[str]]:
    test = dataset.splits["test"]

    def logits(output: Output) -> list[Tensor]:
        if output.logits is None:
            raise ValueError("a network without a classifier has no error rate")
        return [output.logits]

    # Classes are positions among the sorted training labels; a test label that training lacks can only be wrong.
    trained = trained_classes(resources, stage.images, dataset)
    positions = np.searchsorted(trained, test.identities)
    known = (positions < len(trained)) & (trained[np.minimum(positions, len(trained) - 1)] == test.identities)
    images = feed(dataset, test, resources, stage.images, extractor.device, extractor.emit)
    (scores,) = extractor.over(images, len(test), logits)
    from harness.reid.evaluate import evaluate_classification

    labels = np.where(known, positions, -1)
    result = evaluate_classification(scores, labels)
    scored = ScoredClassification(scores.numpy(), labels)
    own, more = own_metrics(stage.evaluation.metrics, scored, np.ones(len(test), dtype=bool))
    units = {"error": 1.0 - result.correct.astype(np.float64), **more}
    each = np.arange(len(test))
    write_units(folder, Units(units, each, each, "images", "images", _source(stage)))
    notes = [] if known.all() else [f"{int((~known).sum())} test images are of classes without training images"]
    return {**result.metrics(), **own}, notes
