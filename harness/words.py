"""How numbers and errors are told."""


def counted(number: float, what: str) -> str:
    """A number with its noun.

    >>> counted(1, "CPU"), counted(0.5, "GPU"), counted(11_110, "epoch")
    ('1 CPU', '0.5 GPUs', '11,110 epochs')
    """
    shown = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{shown} {what}" if number == 1 else f"{shown} {what}s"


def one_line(error: BaseException, most: int = 500) -> str:
    """What an error says as one line of at most ``most`` characters; empty if it says nothing, or fails to.

    >>> one_line(ValueError("no such corpus:\n  train.txt"))
    'no such corpus: train.txt'
    """
    try:
        said = " ".join(str(error).split())
    except Exception:
        return ""
    return said if len(said) <= most else f"{said[:most]} ..."


def first_line(error: BaseException) -> str:
    """The first line of what an error says; its type if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
