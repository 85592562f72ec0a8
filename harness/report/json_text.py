"""A report as JSON, all of it. Metrics are fractions."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.basis import Basis
from harness.report.claims import Judgement
from harness.report.controls import Controlled
from harness.report.effects import Game, GameEffect, block_text
from harness.report.insight import Gain, GameLine, Insight
from harness.report.model import Cell, ReportRow, TableReport
from harness.report.power import Needed
from harness.report.settled import settlement_to_json
from harness.report.sources import Sources
from harness.report.statistics import Estimate


def to_json_text(report: TableReport) -> str:
    """Everything that the report says, keys in a fixed order."""
    return json.dumps(report_to_json(report), indent=2, ensure_ascii=False) + "\n"


def report_to_json(report: TableReport) -> dict[str, Any]:
    """The report as JSON values."""
    return {
        "table": report.name,
        "title": report.title,
        "heading": report.heading,
        "not_comparable": report.not_comparable,
        "metrics": [metric.key for metric in report.metrics],
        "factors": list(report.factors),
        "ranked": report.ranked,
        "rows": [_row(row) for row in report.rows],
        "claims": [_claim(claim) for claim in report.claims],
        "controls": [_controlled(one) for one in report.controls],
        "settled": settlement_to_json(report.settlement),
        "effects": _insight(report.insight),
        "variance": [_sources(one) for one in report.sources],
        "refused": [dict(row) for row in report.refused],
        "assumptions": [dict(entry) for entry in report.assumptions],
        "overrides": dict(report.overrides),
        "cautions": list(report.cautions),
        "notes": list(report.notes),
        "method": list(report.method),
        "provenance": {**report.provenance, "parent_run": report.parent_id},
    }


def _row(row: ReportRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "label": row.label,
        "note": row.note,
        "cited": row.cited,
        "rank": row.rank,
        "factors": dict(row.factors),
        "metrics": {key: _cell(cell) for key, cell in row.cells.items()},
        "other_metrics": {key: _estimate(estimate) for key, estimate in (row.more or {}).items()},
        "costs": dict(row.costs or {}),
        "seeds": row.seeds_done,
        "seeds_planned": row.seeds_planned,
        "problems": list(row.problems),
        "runs": [
            {"run_id": run.run_id, "seed": run.seed, "status": run.status, "reason": run.reason, "url": run.url}
            for run in row.runs
        ],
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "paper": cell.paper,
        "measured": _estimate(cell.measured),
        "rests_on": _basis(cell.basis),
        "by_seed": {str(seed): value for seed, value in cell.by_seed.items()},
        "difference": cell.difference,
        "place": cell.place,
    }


def _estimate(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    chance = estimate.chance
    return {
        "mean": estimate.mean,
        "sd": estimate.sd,
        "seeds": estimate.seeds,
        "units": chance.units if chance else 0,
        "interval": _pair(estimate.interval),
        "interval_this_test_set": _pair(estimate.interval_this_test_set),
        "variance_from_seeds": chance.from_seeds if chance else None,
        "variance_from_queries": chance.from_units if chance and chance.units else None,
    }


def _pair(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _basis(basis: Basis | None) -> dict[str, Any] | None:
    if basis is None:
        return None
    return {"seeds": list(basis.seeds), "units": basis.units, "unit": basis.unit, "lacking": basis.lacking}


def _needed(needed: Needed | None) -> dict[str, int | None] | None:
    return None if needed is None else {"least": needed.least, "most": needed.most}


def _claim(claim: Judgement) -> dict[str, Any]:
    return {
        "text": claim.text,
        "better": claim.better,
        "than": claim.than,
        "cited": claim.cited,
        "published": claim.published,
        "note": claim.note,
        "metric": claim.metric,
        "claimed": claim.claimed,
        "measured": _estimate(claim.measured),
        "rests_on": _basis(claim.basis),
        "p_holm": claim.p_holm,
        "effect_size": claim.effect_size,
        "size": claim.size,
        "also": claim.also,
        "verdict": claim.verdict,
        "reason": claim.reason,
        "seeds_needed": _needed(claim.needed),
        "seeds_needed_as_claimed": _needed(claim.needed_as_claimed),
    }


def _controlled(one: Controlled) -> dict[str, Any]:
    return {
        "text": one.text,
        "metric": one.metric,
        "better": one.better,
        "than": one.than,
        "control": one.control,
        "of": one.of,
        "reason": one.reason,
        "whole": _estimate(one.whole),
        "equal_training": _estimate(one.equal),
        "training_alone": _estimate(one.training),
        "p_holm": one.p_holm,
    }


def _sources(one: Sources) -> dict[str, Any]:
    parts = one.components
    now, with_seeds, with_units = one.half_widths
    return {
        "metric": one.metric,
        "of": one.subject,
        "among": one.among,
        "seeds": parts.seeds,
        "units": parts.units,
        "unit": one.unit,
        "components": {"seed": parts.seed, "unit": parts.unit, "seed_x_unit": parts.both},
        "shares": dict(zip(("seed", "unit", "seed_x_unit"), parts.shares, strict=True)),
        "half_width": now,
        "half_width_with_twice_the_seeds": with_seeds,
        "half_width_with_twice_the_units": with_units,
        "next": one.next,
    }


def _insight(insight: Insight) -> dict[str, Any]:
    return {
        "matched_pairs": [
            {
                "factor": line.pair.factor,
                "change": line.pair.change,
                "on": line.pair.on,
                "off": line.pair.off,
                "leave_one_out": line.pair.leave_one_out,
                "add_one_in": line.pair.add_one_in,
                "gains": _gains(line.gains),
                "also": line.also,
            }
            for line in insight.pairs
        ],
        "factorials": [
            {
                **_game(line.game),
                "shapley": _effects(line.values),
                "interactions": _effects(line.interactions),
                "also": _also(line),
            }
            for line in insight.games
        ],
        "not_identifiable": list(insight.open),
        "rows_to_add": [list(row) for row in insight.suggestions],
    }


def _also(line: GameLine) -> dict[str, list[str]]:
    return {block_text(player): list(phrases) for player, phrases in line.also.items() if phrases}


def _game(game: Game) -> dict[str, Any]:
    return {
        "players": [list(player) for player in game.players],
        "always": list(game.always),
        "rows": list(game.rows.values()),
    }


def _effects(effects: Sequence[tuple[GameEffect, Mapping[str, Gain]]]) -> list[dict[str, Any]]:
    return [
        {"players": [list(player) for player in effect.players], "gains": _gains(gains)} for effect, gains in effects
    ]


def _gains(gains: Mapping[str, Gain]) -> dict[str, Any]:
    return {
        metric: {
            "estimate": _estimate(gain.estimate),
            "rests_on": _basis(gain.basis),
            "p_holm": gain.p_holm,
            "effect_size": gain.effect_size,
            "seeds_needed": _needed(gain.needed),
        }
        for metric, gain in gains.items()
    }
