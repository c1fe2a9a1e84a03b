"""Files, folders, locks and databases on disk.

atomic      small files, written whole or not at all; a damaged one is an error of one line
records     frozen dataclasses as JSON, and back
locks       locks of the kernel
checksums   folders that are sealed with checksums, and verified
leftovers   leftovers of killed processes
pages       HTML from templates; base.html: the frame of all pages, parts.html: what they are made of, look.css: their style
disk        free space, and the errors of a full disk
database    the databases of Prefect and MLflow: SQLite, or PostgreSQL
versions    whether a database suits the installed Prefect and MLflow
"""
