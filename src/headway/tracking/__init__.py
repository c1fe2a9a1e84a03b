"""Runs, metrics and models in MLflow; with serve/pyfunc.py the only importer of mlflow.

store         where MLflow keeps things, and how to speak to it
runs          a run's opening and its end; all of it repeatable from the run directory alone
forwarder     a journal's metrics, as they come
record        tracking.json: what a run's folder knows of the run in MLflow
system        the machine's load while a run trains
registry      versions with their bundles, and who has which alias
registration  a run's bundle as a version
purpose       what a registered model is for: project, task, target
lock          one decider at a time for each model
tickets       the same for machines that share an MLflow server
decisions     the history of a model: every decision, appended
intent        a decision carried out whole, whatever dies on the way
deciding      the gate's decisions: from the version compared with, or compared again
rollback      an earlier version in charge again
state         what a version's page says
condition     what the doctor looks at in all this, and what mends it
contents      what MLflow shows of a run: tags, the note, the data, final metrics, files
kept          what MLflow has on this machine's disk, and which of it versions need
packaging     a bundle as an MLflow model: its code, signature, example and packages
variants      the variants of an effect study as runs under the study's own
server        MLflow's server as an application
"""

from headway.tracking.contents import final_metrics
from headway.tracking.deciding import decided, settle
from headway.tracking.decisions import DecisionRecord
from headway.tracking.forwarder import Forwarder
from headway.tracking.registration import check_purpose, register
from headway.tracking.registry import (
    Champion,
    Holder,
    RunRow,
    VersionRow,
    champion,
    earlier,
    history,
    holder,
    list_runs,
    version_of,
    versions,
)
from headway.tracking.rollback import Rollback, rollback
from headway.tracking.runs import begin, conclude, sync
from headway.tracking.store import open_store, tracking_uri
from headway.tracking.system import system_metrics

__all__ = [
    "Champion",
    "DecisionRecord",
    "Forwarder",
    "Holder",
    "Rollback",
    "RunRow",
    "VersionRow",
    "begin",
    "champion",
    "check_purpose",
    "conclude",
    "decided",
    "earlier",
    "final_metrics",
    "history",
    "holder",
    "list_runs",
    "open_store",
    "register",
    "rollback",
    "settle",
    "sync",
    "system_metrics",
    "tracking_uri",
    "version_of",
    "versions",
]
