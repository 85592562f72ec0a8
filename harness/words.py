"""How numbers and errors are told."""


def counted(number: float, what: str) -> str:
    """A number with its noun.

    >>> counted(1, "CPU"), counted(0.5, "GPU"), counted(11_110, "epoch")
    ('1 CPU', '0.5 GPUs', '11,110 epochs')
    """
    shown = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{shown} {what}" if number == 1 else f"{shown} {what}s"


def first_line(error: BaseException) -> str:
    """The first line of what an error says; its type if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
