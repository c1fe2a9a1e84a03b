"""The effect study: what each efficiency technique gains on this model, this data and this machine, at equal quality.

technique    a named edit of the recipe; techniques/ has one file each
statistics   from samples to intervals and verdicts
worker       the process of one variant or several: they step, predict or train when asked to
together     a session: variants in turns, there and back, beside one baseline
trainers     trainings for their quality, on all cores at once
lab          all of these on this machine
study        what is measured next, and when it is settled
results      effect.json: what a study found; told makes it from the notebook
"""
