"""Where a study is kept: a database, or a journal file beside the store."""

from contextlib import suppress
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from harness.errors import InputError
from harness.files import regular_file


def open_storage(address: str | None, journal: Path) -> BaseStorage:
    """The storage of a study: an RDB address, or a journal file; a line that a crash tore off at its end is dropped.

    Call it with the study's lock held: a lock file beside the journal is then a dead process's.

    Raises:
        InputError: If the address cannot be reached, or the journal is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if address is not None:
        try:
            return RDBStorage(address)
        except Exception as error:  # whatever the driver raises, or its absence
            raise InputError(f"storage: cannot open the study's database: {type(error).__name__}: {error}") from error
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
    try:
        with suppress(FileNotFoundError), regular_file(journal).open("r+b") as file:
            text = file.read()
            file.truncate(text.rfind(b"\n") + 1)
        storage = JournalStorage(JournalFileBackend(str(journal)))
        for study in storage.get_all_studies():
            storage.get_all_trials(study._study_id)
    except Exception as error:  # whatever a damaged line leads Optuna to
        raise InputError(
            f"{journal}: expected the study's journal, found damage ({type(error).__name__}: {error}); move it aside "
            "and search again: what its trials trained is in the store, and is not trained again"
        ) from error
    return storage
