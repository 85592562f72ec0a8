"""Which rows a search tunes: those that it names, or both sides of the claims that it names.

With claims, both sides are tuned alike: the same space, trials and sampler seeds. Owns what a file must and must not
declare for that. Refuses budgets in hours, which would end one side's trials earlier than the other's.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import did_you_mean
from harness.matrix import Claim
from harness.matrix.declaration import Declaration
from harness.matrix.source import Document

if TYPE_CHECKING:
    from harness.search.declaration import SearchSpec


def compared_rows(claims: Sequence[Claim]) -> tuple[str, ...]:
    """The rows of claims, each once.

    >>> one, two = (Claim("a claim", better, than, "mAP") for better, than in (("3", "1"), ("8", "3")))
    >>> compared_rows([one, two])
    ('3', '1', '8')
    """
    return tuple(dict.fromkeys(row for claim in claims for row in (claim.better, claim.than)))


def check_claims(spec: "SearchSpec", document: Document, table: Declaration) -> tuple[Claim, ...]:
    """The claims that a search file names, in its order; none where it names rows.

    Raises:
        InputError: For a claim that the table lacks, that compares a cited method, or is on another metric; and for
            what does not go with claims.
    """
    if bool(spec.rows) == bool(spec.claims):
        found = "rows and claims" if spec.rows else "neither rows nor claims"
        raise document.error(("rows" if spec.rows else "title",), f"found {found}, expected one of them")
    if not spec.claims:
        return ()
    if spec.tune == "once":
        raise document.error(("tune",), "found once, expected per-row with claims: both sides of a claim are tuned")
    if spec.reference:
        raise document.error(("reference",), "expected none with claims, which are judged at each row's own values")
    for key in ("hours", "device_hours"):
        if getattr(spec.budget, key) is not None:
            message = "expected none with claims: every row gets the same number of trials"
            raise document.error(("budget", key), message)
    cited = {one.method for one in table.table.cited}
    declared = {one.text: one for one in table.table.claims}
    chosen = []
    for place, text in enumerate(spec.claims):
        where = ("claims", place)
        if text not in declared:
            raise document.error(where, f'"{text}" is not a claim of {table.path}; {did_you_mean(text, declared)}')
        claim = Claim(**declared[text].model_dump())
        if {claim.better, claim.than} & cited:
            raise document.error(where, "compares a cited method, which cannot be tuned; expected a claim on two rows")
        if claim.metric != spec.metric:
            message = f"is on {claim.metric}, found metric: {spec.metric}; expected claims on the metric that chooses"
            raise document.error(where, message)
        chosen.append(claim)
    return tuple(chosen)
