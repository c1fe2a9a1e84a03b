"""Prefect flows: thin decorators around the plain functions of headway. The only importers of prefect."""

from headway.machine.cores import spin_briefly

spin_briefly()  # here, because Prefect starts flows without the command line, and before a flow loads scikit-learn or torch
