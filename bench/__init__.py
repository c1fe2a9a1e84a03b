"""Benchmarks: Headway beside an anchor, in one process and one run, as ratios. Never part of the tests' verdict."""
