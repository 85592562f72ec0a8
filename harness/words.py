"""How numbers are told."""


def counted(number: float, what: str) -> str:
    """A number with its noun.

    >>> counted(1, "CPU"), counted(0.5, "GPU"), counted(11_110, "epoch")
    ('1 CPU', '0.5 GPUs', '11,110 epochs')
    """
    shown = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{shown} {what}" if number == 1 else f"{shown} {what}s"
