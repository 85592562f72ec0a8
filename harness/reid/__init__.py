"""The method: person re-identification by deep metric learning, and image classification by the same networks.

Owns everything of the field: the recipe's vocabulary, data sets, networks, losses, training and evaluation. A notebook
may use each part by itself. Refuses YAML, plans, executors, trackers and reports: the harness reaches the method
through ``harness.trainer`` alone.
"""
