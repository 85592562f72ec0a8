"""Formats numbers and errors for messages."""


def counted(number: float, what: str) -> str:
    """Formats a number with its noun.

    >>> counted(1, "CPU"), counted(0.5, "GPU"), counted(11_110, "epoch")
    ('1 CPU', '0.5 GPUs', '11,110 epochs')
    """
    shown = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{shown} {what}" if number == 1 else f"{shown} {what}s"


def one_line(error: BaseException, most: int = 500) -> str:
    """Returns an error's message as one line of at most ``most`` characters; empty if it has none or raises itself.

    >>> one_line(ValueError("no such corpus:\n  train.txt"))
    'no such corpus: train.txt'
    """
    try:
        message = " ".join(str(error).split())
    except Exception:
        return ""
    return message if len(message) <= most else f"{message[:most]} ..."


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, or its type if the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
