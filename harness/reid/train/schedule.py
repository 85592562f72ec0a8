"""The learning rate at a step: a closed formula, so that a resumed stage needs no state for it."""

import math

from harness.reid.optimisation import ScheduleSpec


def learning_rate_factor(schedule: ScheduleSpec, epoch: int, epochs: int, step: int = 0, steps: int = 1) -> float:
    """The factor on the base learning rate at ``step`` (from 0) of ``steps`` in ``epoch`` (from 0) of ``epochs``.

    With x the epochs done, whole ones unless the schedule changes ``per`` step, of E:

    - ``constant``: 1.
    - ``step``: ``factor`` ^ floor(x / ``every``) (the paper's section 4.1: x 0.1 after each 50).
    - ``multistep``: ``factor`` ^ (how many ``milestones`` are at most x).
    - ``cosine``: from 1 towards f = ``final``, f + (1 - f) (1 + cos(pi x / E)) / 2 (Loshchilov and Hutter 2017, eq. 5).
    - ``polynomial``: f + (1 - f) (1 - x / E) ^ ``power``.
    - ``one_cycle``: see :func:`_one_cycle`.

    A warm-up rises linearly over its first epochs, to 1 at the end of the last, and multiplies any of them.

    >>> [learning_rate_factor(ScheduleSpec(every=2, factor=0.5), epoch, 6) for epoch in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    >>> learning_rate_factor(ScheduleSpec(kind="cosine"), 3, 6)
    0.5
    >>> learning_rate_factor(ScheduleSpec(kind="polynomial", power=2.0, per="step"), 1, 2, step=1, steps=2)
    0.0625
    >>> [learning_rate_factor(ScheduleSpec(kind="constant", warmup_epochs=4), epoch, 6) for epoch in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """
    if not schedule.per_step:
        step, steps = 0, 1
    done = epoch + step / steps if step else epoch
    if schedule.kind == "one_cycle":
        return _one_cycle(schedule, epoch * steps + step, epochs * steps)
    final = schedule.final or 0.0
    match schedule.kind:
        case "constant":
            decay = 1.0
        case "step":
            decay = schedule.factor ** (epoch // schedule.every)
        case "multistep":
            decay = schedule.factor ** sum(milestone <= epoch for milestone in schedule.milestones or ())
        case "cosine":
            decay = final + (1.0 - final) * round((1.0 + math.cos(math.pi * done / epochs)) / 2.0, 12)
        case "polynomial":
            decay = final + (1.0 - final) * (1.0 - done / epochs) ** (schedule.power or 1.0)
    warmup = min(1.0, (done + 1 / steps) / schedule.warmup_epochs) if schedule.warmup_epochs else 1.0
    return decay * warmup


def _one_cycle(schedule: ScheduleSpec, step: int, steps: int) -> float:
    """Up by half a cosine over the first ``pct_start`` of ``steps``, then down (Smith and Topin 2018).

    From 1 / ``div_factor`` to 1, and to 1 / ``div_factor`` / ``final_div_factor`` at the last step: what torch's
    ``OneCycleLR`` gives with cosine annealing. The momentum stays as it is.
    """
    start = 1.0 / (25.0 if schedule.div_factor is None else schedule.div_factor)
    end = start / (1e4 if schedule.final_div_factor is None else schedule.final_div_factor)
    top = (0.3 if schedule.pct_start is None else schedule.pct_start) * steps - 1
    if step <= top:
        return _half_cosine(start, 1.0, step / top if top > 0 else 1.0)
    top = max(top, 0.0)
    return _half_cosine(1.0, end, min(1.0, (step - top) / (steps - 1 - top)) if steps - 1 > top else 1.0)


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1.0 + math.cos(math.pi * share)) / 2.0
