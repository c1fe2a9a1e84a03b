"""`headway doctor`: find damaged files, unfinished decisions and leftovers in a project's folder; with --apply, repair them.

finding     one fault: what, where, and the fix
databases   mlflow.db and prefect.db
models      registered versions, their aliases and unfinished decisions
runs        run directories: their files, their checkpoints, runs without a process
stores      prepared data and caches
leftovers   temporary files and folders of processes that have ended
main        all of these in order
"""
