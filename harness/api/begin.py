"""``harness init``: a table, a recipe and a trainer to start from; they run as they are."""

import keyword
import pkgutil
from pathlib import Path

from harness.errors import InputError

_TEMPLATES = {"trainer.py": "{}.py", "recipe.yaml": "{}_recipe.yaml", "table.yaml": "{}.yaml"}


def begin_table(name: str, folder: Path) -> tuple[Path, ...]:
    """Writes ``name.py``, ``name_recipe.yaml`` and ``name.yaml`` into a folder; returns their paths, the table's last.

    Raises:
        InputError: If the name is not a module name, or one of the files exists: nothing is overwritten.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise InputError(f'"{name}" cannot name a Python module; expected letters, digits and _, such as my_table')
    paths = {template: folder / pattern.format(name) for template, pattern in _TEMPLATES.items()}
    for path in paths.values():
        if path.exists():
            raise InputError(f"{path}: exists already; choose another name")
    for template, path in paths.items():
        text = pkgutil.get_data("harness.api", f"templates/{template}")
        assert text is not None
        path.write_text(text.decode().replace("NAME", name), encoding="utf-8")
    return tuple(paths.values())
