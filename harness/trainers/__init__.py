"""Trainers that a recipe can name: the paper's, a user's function or command (or a chain of them), a user's own class.

Owns loading the trainer that a recipe declares, and the trainers that call a user's functions and commands. Uses no
research field's vocabulary; the paper's trainer is in ``harness.reid`` and is loaded by name like any other. A recipe's
``trainer:`` may be::

    trainer: digits:train                                   # a function, see ``function``
    trainer: {command: [python, train.py, "{lr}"], code: [train.py]}        # see ``command``
    trainer: {stages: {pretrain: {function: "m:pretrain", reads: [width]}, tune: {function: "m:tune"}}}
    trainer: my_package.trainer:MyTrainer                   # a subclass of ``harness.trainer.Trainer``
"""

from harness.trainers.declared import DEFAULT, Declared
from harness.trainers.load import load_trainer, metric_from

__all__ = ["DEFAULT", "Declared", "load_trainer", "metric_from"]
