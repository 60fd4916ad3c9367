"""Benches, run by `make bench`: ratios inside one run, never a timed test."""
