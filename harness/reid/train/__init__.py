"""Training and scoring one stage: the loop, checkpoints, schedules, precision, feature extraction.

Owns what happens inside a stage. Refuses tables, rows and trackers: a stage gets plain settings, leaves files in its
folder and returns a result. Importing this package is cheap; its modules import torch.
"""
