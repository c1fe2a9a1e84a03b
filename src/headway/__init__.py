"""Headway: retrain models on a schedule, and prove what each retraining and each speed-up gained."""

__version__ = "0.1.0"
