"""`headway doctor`: find what is damaged, half-done or left behind in a project's folder; with --apply, mend it.

finding     one thing that is wrong, where, and what would be done
databases   mlflow.db and prefect.db
models      registered versions, their aliases and unfinished decisions
runs        run directories: their files, checkpoints, those whose process died
stores      prepared data and what is kept to save time
leftovers   temporary files and folders of processes that died
main        all of these in order
"""
