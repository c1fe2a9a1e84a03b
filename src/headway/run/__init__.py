"""A run.

directory  its folder, which is the interface between the processes that work on it
places     where its project lies: MLflow and Prefect write down absolute places, which a moved folder makes wrong
lifetime   who looks after it, and which runs have lost their process
report     how its stages speak to people
"""
