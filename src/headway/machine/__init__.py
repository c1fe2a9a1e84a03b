"""The machine that a run uses.

processes    child processes that end with their parent
cores        how threads wait, and the load of other processes
gpus         the GPUs that a process may use
environment  the versions and the hardware that a run records
clock        times as text, in UTC
interruption  Ctrl-C, SIGTERM and a closed pipe
"""
