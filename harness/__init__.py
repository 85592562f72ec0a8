"""An ablation harness: declare a table, train the fewest stages that fill it, track every run, judge the claims."""

__version__ = "0.1.0"
