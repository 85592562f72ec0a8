"""A table before anything runs: its declaration, from a file or from Python, and its rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from harness.api import DEFAULT_STORE
from harness.api.folders import DataArgument, folders_of
from harness.api.listener import Listener
from harness.table.arguments import seed_list, texts
from harness.table.declare import Recipe, Row, plain

if TYPE_CHECKING:
    from harness.api.prepare import Prepared
    from harness.matrix import Claim, Declaration


class DeclaredTable:
    """A declaration and how to read it: profile, data, overrides, store. ``Table`` adds the methods that use it."""

    def __init__(
        self,
        source: "str | Path | Declaration",
        *,
        profile: str | None = None,
        data: DataArgument = None,
        overrides: Mapping[str, Any] | None = None,
        store: str | Path = DEFAULT_STORE,
    ) -> None:
        from harness.matrix import read_declaration

        self._declaration = read_declaration(Path(source)) if isinstance(source, str | Path) else source
        self._profile, self._overrides = profile, dict(overrides or {})
        self._data = folders_of(data)
        self._store = str(store)
        if profile is not None:
            self._declaration.profile(profile)

    @classmethod
    def declare(
        cls,
        name: str,
        *,
        title: str,
        recipe: Recipe | Mapping[str, Any] | str | Path,
        seeds: Sequence[int],
        metrics: Sequence[str],
        rows: Sequence[Row | Mapping[str, Any]] = (),
        generate: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
        claims: "Sequence[Claim | Mapping[str, Any]]" = (),
        profile: str | None = None,
        data: DataArgument = None,
        overrides: Mapping[str, Any] | None = None,
        store: str | Path = DEFAULT_STORE,
        **more: Any,
    ) -> Self:
        """Declares a table in Python, with the same checks and identities as in YAML.

        Args:
            name: The table's name.
            title: Its title.
            recipe: The recipe, or its file, relative to the current folder.
            seeds: The seeds of every row.
            metrics: The metrics that the table shows.
            rows: The rows.
            generate: Rows to generate, as ``{"full_factorial": {"factors": ["Scale", "Width"]}}``.
            claims: Claims about the rows.
            profile: As for a table from a file, like what follows.
            data: The folder of the data set.
            overrides: Settings laid over every row.
            store: Where stages are kept.
            more: Further keys of a table file: ``cited``, ``controls``, ``assumptions``, ``set``, ``profiles``,
                ``notes``.

        Raises:
            InputError: For any mistake, by key.

        >>> from harness import Recipe, Row, Table
        >>> table = Table.declare(
        ...     "lengths",
        ...     title="What makes it long?",
        ...     recipe=Recipe("math:hypot", settings={"x": 1.0}, metrics={"length": {}}),
        ...     seeds=[0],
        ...     metrics=["length"],
        ...     rows=[Row("plain", []), Row("far", [], set={"x": 9.0})],
        ... )
        >>> table.rows
        ('plain', 'far')
        """
        from harness.matrix import read_declaration

        declared = {
            "name": name,
            "title": title,
            "recipe": recipe,
            "seeds": seeds,
            "metrics": metrics,
            **more,
        }
        declared |= {"rows": rows} if rows else {}
        declared |= {"claims": claims} if claims else {}
        declared |= {"generate": generate} if generate else {}
        declaration = read_declaration({key: plain(value) for key, value in declared.items()})
        return cls(declaration, profile=profile, data=data, overrides=overrides, store=store)

    @property
    def name(self) -> str:
        """The table's name."""
        return self._declaration.name

    @property
    def rows(self) -> tuple[str, ...]:
        """The ids of the rows, in order, without those that a constraint refuses."""
        from harness.matrix import expand

        matrix = expand(self._declaration, profile=self._profile, overrides=self._overrides)
        return tuple(row.id for row in matrix.rows)

    def __repr__(self) -> str:
        return f"Table({self.name}: {len(self.rows)} rows)"

    def _prepare(self, rows: Sequence[str] | None, seeds: Sequence[int] | None, listener: Listener) -> "Prepared":
        from harness.api.prepare import prepare

        return prepare(
            self._declaration,
            profile=self._profile,
            data=self._data,
            rows=texts("rows", rows),
            seeds=seed_list(seeds),
            overrides=self._overrides,
            store=self._store,
            listener=listener,
        )
