"""The ``settle:`` of a table: which comparisons are to be decided, checked against its claims."""

from collections.abc import Iterator

from harness.matrix.matrix import Settle
from harness.matrix.schema import SettleSpec, TableSpec
from harness.matrix.source import Document, Key
from harness.matrix.validation_errors import known


def settle_of(table: TableSpec, document: Document) -> Settle:
    """Returns what a table wants settled: by default all claims between rows, or the matched pairs if there are none.

    Raises:
        InputError: If an unknown claim is named, or nothing is left to settle.
    """
    spec = table.settle or SettleSpec()
    cited = {one.method for one in table.cited}
    texts = [claim.text for claim in table.claims]
    of_rows = [claim.text for claim in table.claims if not {claim.better, claim.than} & cited]
    if isinstance(spec.claims, list):
        for index, text in enumerate(spec.claims):
            known(document, ("settle", "claims", index), text, "claim", texts)
            if text not in of_rows:
                message = (
                    f'"{text}" compares with a cited method, which no seeds can be added to; expected a claim of rows'
                )
                raise document.error(("settle", "claims", index), message)
    if spec.claims == "all" and not of_rows:
        raise document.error(("settle", "claims"), "found all, expected claims: that compare rows of this table")
    if spec.claims == "none" and spec.pairs == "none":
        raise document.error(("settle",), "found neither claims nor pairs to settle, expected one of them")
    chosen = spec.claims if isinstance(spec.claims, list) else [] if spec.claims == "none" else of_rows
    pairs = spec.pairs == "all" or not chosen
    return Settle(tuple(chosen), pairs, dict(spec.within), spec.max_seeds)


def named_margins(table: TableSpec) -> Iterator[tuple[Key, str]]:
    """Every place in ``settle:`` that names a metric."""
    for name in table.settle.within if table.settle else ():
        yield ("settle", "within", name), name
