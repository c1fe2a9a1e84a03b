"""Runs, metrics and models in MLflow; with serve/pyfunc.py the only importer of mlflow.

store      where MLflow keeps things, and how to speak to it
runs       a run's opening, its metrics as they come, its end; all of it repeatable from the run directory alone
system     the machine's load while a run trains
registry   bundles as model versions, aliases, gate decisions
decisions  the history of a model: every decision, appended
state      what a version's page says
rollback   an earlier version in charge again
"""

from headway.tracking.decisions import DecisionRecord
from headway.tracking.registry import (
    Champion,
    champion,
    history,
    keep_challenger,
    list_runs,
    promote,
    register,
    version_of,
    versions,
)
from headway.tracking.rollback import Rollback, rollback
from headway.tracking.runs import Forwarder, begin, conclude, sync
from headway.tracking.store import open_store, tracking_uri
from headway.tracking.system import system_metrics

__all__ = [
    "Champion",
    "DecisionRecord",
    "Forwarder",
    "Rollback",
    "begin",
    "champion",
    "conclude",
    "history",
    "keep_challenger",
    "list_runs",
    "open_store",
    "promote",
    "register",
    "rollback",
    "sync",
    "system_metrics",
    "tracking_uri",
    "version_of",
    "versions",
]
