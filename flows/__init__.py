"""Prefect flows: thin decorators around the plain functions of headway. The only importers of prefect."""
