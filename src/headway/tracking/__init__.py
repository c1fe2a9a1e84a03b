"""Runs, metrics and models in MLflow; with serve/pyfunc.py the only importer of mlflow.

addresses     the address of MLflow's store
store         the client of the store, which is created where it is missing
runs          opening and concluding a run; all of it can be repeated from the run directory alone
forwarder     sends a journal's metrics during the run
record        tracking.json: the state of a run in MLflow
system        the machine's load while a run trains
registry      versions and aliases
memory        what an alias stands for, until the database changes
bundles       where versions' files are, and their damage
registration  a run's bundle as a version
purpose       project, task and target of a registered model
lock          one deciding process at a time for each model
tickets       the same for machines that share an MLflow server
decisions     the history of a model, which is only appended to
intent        carries a decision out completely, also after a kill
deciding      carries out the gate's decisions; compares again where the champion has changed
rollback      makes an earlier version the champion again
experiments   a project's experiments: their names, descriptions and views, and links to them
state         the tags and the description of a version's page
condition     what `headway doctor` checks and repairs here
contents      a run's tags, note, data, final metrics and files in MLflow
run_files     MLflow's files on this machine, and which of them versions need
packaging     a bundle as an MLflow model: its code, signature, example and packages
variants      the variants of an effect study as runs under the study's own
server        MLflow's server as an application
"""

from headway.tracking.addresses import tracking_uri
from headway.tracking.contents import final_metrics
from headway.tracking.deciding import decision_of_run, settle
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
    remember_champion,
    version_of,
    versions,
)
from headway.tracking.rollback import Rollback, rollback
from headway.tracking.runs import begin, conclude, sync, title
from headway.tracking.store import open_store
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
    "decision_of_run",
    "earlier",
    "final_metrics",
    "history",
    "holder",
    "list_runs",
    "open_store",
    "register",
    "remember_champion",
    "rollback",
    "settle",
    "sync",
    "system_metrics",
    "title",
    "tracking_uri",
    "version_of",
    "versions",
]
