"""A run: its folder, its owner and its reports.

directory  the run's folder, the interface between the processes that work on it; result: how their work ended
places     corrects the absolute paths of MLflow and Prefect after the project's folder was moved
lifetime   which process owns the run, and which runs have lost their process
report     the interface by which stages report progress and results; remaining: how long a stage still takes
"""
