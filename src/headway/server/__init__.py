"""`headway up`: the servers of a project's folder.

up           start them, keep them, stop them
owner        one `up` for each folder
local        the servers of this folder: those of `up`, or
temporary    a Prefect server for as long as runs go on
access       who may ask them; peers says which user of this machine asks, credentials what the password is
prefect_api  Prefect's API without Prefect
status       what runs here
backup       databases and artifacts into one file; restore brings them back, archive is that file
retention_config, schedule  sections of the YAML
"""
