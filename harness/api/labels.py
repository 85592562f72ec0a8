"""Labels under which the store records the stages that a table or a study uses."""

from collections.abc import Iterable


def label_of(name: str, profile: str, dataset: str) -> str:
    """Returns the label of a table or study run in a profile on a data set.

    >>> label_of("table1", "demo", "market1501"), label_of("digits", "default", "")
    ('table1 (demo, market1501)', 'digits (default)')
    """
    return f"{name} ({', '.join(filter(None, (profile, dataset)))})"


def labels_of(name: str, profile: str | None, labels: Iterable[str]) -> list[str]:
    """Returns those labels that belong to a table, in one profile or in all.

    >>> labels_of("digits", "default", ["digits (default)", "digits (defaults)", "digits (old) (default, set)"])
    ['digits (default)']
    """
    starts = (f"{name} (",) if profile is None else (f"{name} ({profile})", f"{name} ({profile}, ")
    return [label for label in labels if label.startswith(starts) and name_of(label) == name]


def name_of(label: str) -> str:
    """Returns the name in a label.

    >>> name_of("table1 (demo, market1501)")
    'table1'
    """
    return label.rpartition(" (")[0]
