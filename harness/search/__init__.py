"""Chooses recipe values: spaces, samplers, constraints, pruning and the loop that trains and scores points.

Owns everything between a search file and its best values, and is the only package that imports Optuna (``study``,
``sampling``, ``storage`` and ``pruning``, which are loaded when a search runs). Refuses training, tracking and the test
images: what a trial is worth is measured on identities held out of training, and no setting says otherwise.
"""

from harness.search.declaration import Search, read_search

__all__ = ["Search", "read_search"]
