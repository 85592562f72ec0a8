"""A comparison in Python: its text, its page in a notebook, its files."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api.folders import Folders

if TYPE_CHECKING:
    import pandas as pd

    from harness.report import Comparison


@dataclass(frozen=True)
class Compared:
    """A comparison of two rows, the second against the first. Notebooks display it; ``write`` writes it as files."""

    model: "Comparison"
    """The numbers behind it."""
    store: str
    """Where images are looked for that the trainer made."""
    data: Folders | None = None
    """Where images are looked for."""

    def metrics(self) -> "pd.DataFrame":
        """Returns a line for each metric: ``metric``, ``first``, ``second``, ``gain``, ``low``, ``high``, ``p_value``.

        Percentages are fractions; a gain is positive where the second row is better.
        """
        import pandas as pd

        lines: list[dict[str, Any]] = []
        for pair in self.model.pairs:
            for line in pair.metrics:
                gain = line.gain
                low, high = (gain.interval if gain else None) or (None, None)
                lines.append(
                    {
                        "metric": line.metric.key,
                        "first": line.first.mean if line.first else None,
                        "second": line.second.mean if line.second else None,
                        "gain": gain.mean if gain else None,
                        "low": low,
                        "high": high,
                        "p_value": gain.p_value if gain else None,
                    }
                )
        return pd.DataFrame(lines)

    def units(self) -> "pd.DataFrame":
        """Returns the values by unit (query, example): ``unit``, ``group``, ``first``, ``second``, ``gain``."""
        import pandas as pd

        units = self.model.pairs[0].units
        if units is None:
            return pd.DataFrame(columns=["unit", "group", "first", "second", "gain"])
        columns = {"unit": units.ids, "group": units.groups, "first": units.first, "second": units.second}
        return pd.DataFrame({**columns, "gain": units.gains})

    @property
    def markdown(self) -> str:
        """The comparison's text, without its figures."""
        from harness.report import comparison_markdown

        return comparison_markdown(self.model)

    def write(self, out: str | Path) -> list[Path]:
        """Writes Markdown, one HTML page and the figures into a folder; returns the files, the texts first."""
        from harness.api.compare import loader_for
        from harness.report import write_comparison

        written, _ = write_comparison(self.model, Path(out), loader_for(self.model, self.data, self.store))
        return written

    def __repr__(self) -> str:
        return f"Compared({self.model.first} → {self.model.second})"

    def _repr_html_(self) -> str:
        """The comparison as HTML with its figures, for a notebook."""
        from harness.api.compare import loader_for
        from harness.report import comparison_page

        return comparison_page(self.model, loader_for(self.model, self.data, self.store))
