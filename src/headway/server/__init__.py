"""`headway up`: the servers of a project's folder.

up           start them, keep them, stop them
owner        one `up` for each folder
local        the servers of this folder: those of `up`, or a temporary one
temporary    one temporary Prefect server for all runs of a folder
access       who may use them; peers: which user of this machine asks; credentials: the password
prefect_api  requests to Prefect's server without importing prefect
status       what runs here; news: runs that start and end; addresses: the pages of a run
backup       databases and artifacts into one file; restore: back into a project; archive: the file itself
retention_config, schedule  sections of the YAML
"""
