"""The learning rate of an epoch."""

import math

from harness.reid.recipe import ScheduleSpec


def learning_rate_factor(schedule: ScheduleSpec, epoch: int, epochs: int) -> float:
    """The factor on the base learning rate in ``epoch`` (from 0) of ``epochs``.

    ``step`` multiplies by ``schedule.factor`` after every ``schedule.every`` epochs (the paper's section 4.1: x 0.1
    after each 50). ``cosine`` falls from 1 towards 0 by half a cosine over the epochs. A warm-up rises linearly over
    its first epochs and multiplies either.

    >>> [learning_rate_factor(ScheduleSpec(every=2, factor=0.5), epoch, 6) for epoch in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    >>> learning_rate_factor(ScheduleSpec(kind="cosine"), 3, 6)
    0.5
    >>> learning_rate_factor(ScheduleSpec(warmup_epochs=4), 0, 6)
    0.25
    """
    decay = (
        schedule.factor ** (epoch // schedule.every)
        if schedule.kind == "step"
        else round((1.0 + math.cos(math.pi * epoch / epochs)) / 2.0, 12)
    )
    warmup = min(1.0, (epoch + 1) / schedule.warmup_epochs) if schedule.warmup_epochs else 1.0
    return decay * warmup
