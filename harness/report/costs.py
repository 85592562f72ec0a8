"""The costs that runs record, and the units in which reports show them."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Cost:
    """A cost that runs record, and how a reader sees it."""

    key: str
    name: str
    units: tuple[tuple[str, float], ...] = (("", 1.0),)
    """Names of units, the largest first, and what turns a recorded value into each."""

    @property
    def title(self) -> str:
        """The heading of its column."""
        unit, _ = self.units[0]
        return f"{self.name} ({unit})" if unit else self.name

    @property
    def scale(self) -> float:
        """Multiplies the recorded value."""
        return self.units[0][1]

    def suited(self, largest: float) -> "Cost":
        """The cost in the largest unit in which the largest value is at least a tenth.

        >>> cost = Cost("multiply_adds", "multiply-adds", (("G", 1e-9), ("M", 1e-6)))
        >>> cost.suited(4.1e9).title, cost.suited(8.2e6).title, cost.suited(0.0).title
        ('multiply-adds (G)', 'multiply-adds (M)', 'multiply-adds (M)')
        """
        for place, (_, scale) in enumerate(self.units):
            if largest * scale >= 0.1:
                return replace(self, units=self.units[place:])
        return replace(self, units=self.units[-1:])


COSTS: tuple[Cost, ...] = (
    Cost("parameters", "parameters", (("M", 1e-6), ("k", 1e-3))),
    Cost("multiply_adds", "multiply-adds", (("G", 1e-9), ("M", 1e-6))),
    Cost("images_per_s", "images/s"),
    Cost("seconds", "device time", (("h", 1 / 3600), ("min", 1 / 60), ("s", 1.0))),
    Cost("peak_memory_mb", "peak memory", (("GB", 1e-3), ("MB", 1.0))),
    Cost("energy_wh", "energy", (("Wh", 1.0), ("mWh", 1e3))),
    Cost("gpu_utilisation", "GPU utilisation", (("%", 100.0),)),
)
