"""Whether results are right on this device: the tests that need a GPU (``pytest -m gpu``), one line each.

    python tests/benchmarks/gpu_tests.py [--device cpu] [--json FILE]

On a CPU, the tests in ``tests/gpu`` compare it with itself: that checks the tests, not the CPU.
"""

import argparse
import os
from dataclasses import dataclass, field
from typing import Any

import pytest
from measure import arguments, keep, show
from subjects import ROOT

PLACES = ("tests/gpu", "tests/reid/data", "tests/reid/evaluate")


def main() -> None:
    """Runs the tests in this process and saves each result as it comes."""
    options = arguments(
        __doc__, ("--select", {"default": "", "metavar": "WORDS", "help": "those that fit, as pytest -k"})
    )
    os.environ["HARNESS_TEST_DEVICE"] = options.device.type
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # whatever plugins the machine has
    os.chdir(ROOT)
    watcher = Watcher(options)
    words = ["-m", "gpu", "-q", "-o", "addopts=", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    code = pytest.main([*words, "-k", options.select, *PLACES], plugins=[watcher])
    if not watcher.rows:
        raise SystemExit(f"pytest ran no test (exit code {code})")
    show(watcher.rows, options, note=watcher.summary())
    raise SystemExit(int(code))


@dataclass(eq=False)
class Watcher:
    """A plugin that records how each test ended, and saves the records."""

    options: argparse.Namespace
    rows: list[dict[str, Any]] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called for the set-up, the call and the tear-down of a test."""
        if report.when == "call" or report.outcome != "passed":
            why = "" if report.passed else str(report.longrepr).strip().splitlines()[-1][-200:].replace("|", "/")
            found = ", ".join(f"{name} {value}" for name, value in report.user_properties)
            name = report.nodeid.rpartition("::")[2]
            row = {"test": name, "outcome": report.outcome, "s": report.duration, "found": found or None, "why": why}
            self.rows.append(row)
            keep(self.rows, self.options, note=self.summary())

    def summary(self) -> str:
        """How many tests ended in which way."""
        ends = [row["outcome"] for row in self.rows]
        return ", ".join(f"{ends.count(end)} {end}" for end in dict.fromkeys(ends))


if __name__ == "__main__":
    main()
