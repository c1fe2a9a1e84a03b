"""The machine that a run is on.

processes    children that end with us
cores        waiting without spinning, and what other processes take
gpus         which GPUs there are
environment  what a run writes down of all this
clock        times as people read them
interruption  Ctrl-C, a closed pipe
"""
