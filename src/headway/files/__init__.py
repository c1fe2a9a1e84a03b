"""What lies on disk.

atomic      small files, written whole or not at all, and read with one line where they are damaged
records     frozen dataclasses as JSON, and back
locks       locks that the kernel keeps
checksums   folders that are sealed, and verified
leftovers   what killed processes leave, found and cleared
pages       HTML from templates
disk        whether there is room, and errors that say that there is none
database    the databases of Prefect and MLflow: SQLite, or PostgreSQL
versions    whether a database suits the Prefect and the MLflow that are installed here
"""
