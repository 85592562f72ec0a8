"""Searches a small text collection: an ablation of a pipeline that trains nothing.

The collection is written here, always the same, with what makes retrieval hard: words in several forms, synonyms,
long surveys of many topics, and documents that hold a query's words far apart. A seed draws three quarters of it, so
that intervals are over collections and queries.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_matrix

TOPICS, OF_VALIDATION = 36, 12
DOCUMENTS = 1200
ENDINGS = ("", "s", "ed", "ing")
HOW_OFTEN = (0.55, 0.2, 0.15, 0.1)
"""The share of each ending."""


@dataclass(frozen=True)
class Expansion:
    """How many terms of how many documents found are added to a query, and their weight beside its own."""

    terms: int = 0
    documents: int = 10
    share: float = 0.5


@dataclass(frozen=True)
class Settings:
    """A pipeline: the recipe's factors are patches of it."""

    tokens: Literal["words", "stems", "trigrams"] = "words"
    weighting: Literal["counts", "tfidf", "bm25"] = "counts"
    k1: float = 1.2
    b: float = 0.75
    expansion: Expansion = field(default_factory=Expansion)
    depth: int = 0
    """Documents that are ranked anew."""
    validation: bool = False
    """Whether the queries kept for choosing values are asked."""


@dataclass(frozen=True)
class Topic:
    """Two subjects, each with a synonym, that documents mention side by side; and the words that come along."""

    first: tuple[str, str]
    second: tuple[str, str]
    context: list[str]


@dataclass(frozen=True)
class Collection:
    """Documents and queries; a document answers the queries of its topic."""

    documents: list[str]
    topics: list[int]
    queries: list[str]
    asked: list[int]
    """The topic of each query."""


@cache
def write_collection() -> Collection:
    """Writes the collection."""
    generator = np.random.default_rng(2026)
    words = _vocabulary(generator, 400 + TOPICS * 14)
    common = words[:400]
    topics = [
        Topic((own[0], own[1]), (own[2], own[3]), own[4:])
        for own in (words[400 + 14 * number : 414 + 14 * number] for number in range(TOPICS))
    ]
    of_document = generator.integers(0, TOPICS, DOCUMENTS).tolist()
    documents = [_document(generator, topics, topic, common) for topic in of_document]
    queries = [
        query
        for topic in topics
        for query in (
            f"{topic.first[0]} {topic.second[0]}",
            f"{_form(generator, topic.first[0])} {_form(generator, topic.second[0])}",
            f"{topic.first[0]} {topic.second[1]} {topic.context[0]}",
        )
    ]
    return Collection(documents, of_document, queries, [number for number in range(TOPICS) for _ in range(3)])


def _vocabulary(generator: np.random.Generator, count: int) -> list[str]:
    """Returns different words of two to four syllables."""
    words: dict[str, None] = {}
    while len(words) < count:
        parts = generator.integers(0, 14, (int(generator.integers(2, 5)), 2))
        words["".join("bcdfghklmnprtv"[a] + "aeiouaeioaeiou"[b] for a, b in parts)] = None
    return list(words)


def _document(generator: np.random.Generator, topics: list[Topic], topic: int, common: list[str]) -> str:
    length = int(np.clip(generator.lognormal(4.0, 0.8), 20, 600))
    often = 1 / np.arange(1, len(common) + 1)
    drawn = generator.choice(len(common), length, p=often / often.sum())
    endings = generator.choice(len(ENDINGS), length, p=HOW_OFTEN)
    text = [common[word] + ENDINGS[ending] for word, ending in zip(drawn, endings, strict=True)]
    for word in generator.choice(topics[topic].context, max(2, length // 15)):
        text.insert(int(generator.integers(0, len(text))), _form(generator, word))
    for _ in range(1 + length // 100):
        _mention(generator, text, topics[topic], apart=False)
    for other in generator.choice(TOPICS, length // 60 + int(generator.integers(0, 3))):
        _mention(generator, text, topics[other], apart=True)
    return " ".join(text)


def _mention(generator: np.random.Generator, text: list[str], topic: Topic, *, apart: bool) -> None:
    """Adds both subjects of a topic, each under one of its names, side by side or anywhere."""
    names = [_form(generator, pair[int(generator.random() < 0.35)]) for pair in (topic.first, topic.second)]
    place = int(generator.integers(0, len(text)))
    for name in names:
        text.insert(int(generator.integers(0, len(text))) if apart else place, name)


def _form(generator: np.random.Generator, word: str) -> str:
    return word + ENDINGS[int(np.searchsorted(np.cumsum(HOW_OFTEN[:-1]), generator.random(), side="right"))]


def tokens_of(text: str, kind: Literal["words", "stems", "trigrams"]) -> list[str]:
    """Returns the tokens of a text: whole ``words``, ``stems`` without their endings, or ``trigrams`` of letters."""
    words = text.split()
    if kind == "words":
        return words
    if kind == "stems":
        return [re.sub(r"(s|ed|ing)$", "", word) for word in words]
    return [word[start : start + 3] for word in words for start in range(max(1, len(word) - 2))]


def index(settings: Settings, run: Any) -> None:
    """Draws the seed's documents and keeps their tokens."""
    documents = write_collection().documents
    drawn = np.random.default_rng(run.seed).choice(len(documents), 3 * len(documents) // 4, replace=False)
    kept = {int(place): tokens_of(documents[place], settings.tokens) for place in np.sort(drawn)}
    (run.folder / "tokens.json").write_text(json.dumps(kept))


def rank(settings: Settings, run: Any) -> dict[str, Any]:
    """Ranks the documents for every query; returns average precision and precision at ten by query."""
    collection = write_collection()
    tokens = json.loads((run.parent / "tokens.json").read_text())
    topics = np.array([collection.topics[int(place)] for place in tokens])
    words = [collection.documents[int(place)].split() for place in tokens]
    terms = {term: number for number, term in enumerate(sorted({term for each in tokens.values() for term in each}))}
    counts = _count(list(tokens.values()), terms)
    weights, idf = _weigh(counts, settings)
    asked = [number for number, topic in enumerate(collection.asked) if (topic < OF_VALIDATION) == settings.validation]
    precisions, at_ten = [], []
    for number in asked:
        query = _count([tokens_of(collection.queries[number], settings.tokens)], terms).toarray()[0] * idf
        scores = weights @ query
        if settings.expansion.terms:
            scores = weights @ _expand(query, scores, weights, settings.expansion)
        order = np.argsort(-scores, kind="stable")
        if settings.depth:
            order = _rerank(order, scores, collection.queries[number].split(), words, settings.depth)
        relevant = topics[order] == collection.asked[number]
        precisions.append(average_precision(relevant))
        at_ten.append(relevant[:10].mean())
    run.units(asked, groups=[collection.asked[number] for number in asked], unit="queries", group="topics")
    return {"map": precisions, "p10": at_ten}


def _count(texts: list[list[str]], terms: dict[str, int]) -> csr_matrix:
    """Returns how often each term is in each text, (texts, terms)."""
    cells = [
        (row, terms[term], n) for row, text in enumerate(texts) for term, n in Counter(text).items() if term in terms
    ]
    rows, columns, values = zip(*cells, strict=True) if cells else ((), (), ())
    return csr_matrix((np.array(values, dtype=float), (rows, columns)), shape=(len(texts), len(terms)))


def _weigh(counts: csr_matrix, settings: Settings) -> tuple[csr_matrix, np.ndarray]:
    """Returns the documents' term weights, and the weights of a query's terms."""
    total = counts.shape[0]
    having = np.asarray((counts > 0).sum(axis=0))[0]
    weights = counts.copy()
    rows = np.repeat(np.arange(total), np.diff(weights.indptr))
    if settings.weighting == "counts":
        return weights, np.ones(len(having))
    if settings.weighting == "tfidf":
        idf = np.log(total / having) + 1
        weights.data = (1 + np.log(weights.data)) * idf[weights.indices]
        norms = np.sqrt(np.bincount(rows, weights=weights.data**2, minlength=total))
        weights.data /= norms[rows]
        return weights, idf
    lengths = np.asarray(counts.sum(axis=1))[:, 0]
    penalty = settings.k1 * (1 - settings.b + settings.b * lengths / lengths.mean())
    weights.data = weights.data * (settings.k1 + 1) / (weights.data + penalty[rows])
    return weights, np.log(1 + (total - having + 0.5) / (having + 0.5))


def _expand(query: np.ndarray, scores: np.ndarray, weights: csr_matrix, expansion: Expansion) -> np.ndarray:
    """Adds the terms that weigh most in the first documents found, as a share of the query's own weight."""
    first = np.argsort(-scores, kind="stable")[: expansion.documents]
    found = np.asarray(weights[first].sum(axis=0))[0] * np.log(weights.shape[0] / np.diff(weights.tocsc().indptr))
    found[query > 0] = 0
    chosen = np.argsort(-found, kind="stable")[: expansion.terms]
    added = np.zeros_like(query)
    added[chosen] = found[chosen] / found[chosen].sum()
    return np.asarray(query / query.sum() + expansion.share * added)


def _rerank(order: np.ndarray, scores: np.ndarray, query: list[str], words: list[list[str]], depth: int) -> np.ndarray:
    """Orders the first ``depth`` documents anew: those with the query's words close together come first."""
    top, stems = order[:depth], {word[:5] for word in query}
    scale = max(float(scores[top[0]]), 1e-12)
    near = np.array([_nearness(words[place], stems) for place in top])
    return np.concatenate([top[np.argsort(-(scores[top] / scale + near), kind="stable")], order[depth:]])


def _nearness(words: list[str], stems: set[str]) -> float:
    """Returns 1 / the least distance between two different words of the query; 0 if there are no two."""
    best, last, place_of_last = 0.0, "", 0
    for place, word in enumerate(words):
        if (stem := word[:5]) in stems:
            if last not in ("", stem):
                best = max(best, 1 / (place - place_of_last))
            last, place_of_last = stem, place
    return best


def average_precision(relevant: np.ndarray) -> float:
    """Returns the mean of the precisions at each relevant document of a ranking; 0 without any.

    >>> average_precision(np.array([True, False, True]))  # (1/1 + 2/3) / 2
    0.8333333333333333
    """
    places = np.flatnonzero(relevant)
    return float(np.mean(np.arange(1, len(places) + 1) / (places + 1))) if len(places) else 0.0
