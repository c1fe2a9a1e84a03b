"""The effect study: what each efficiency technique gains on this model, this data and this machine, at equal quality.

technique    a named edit of the recipe; techniques/ has one file each
statistics   from samples to intervals and verdicts
worker       the process of one variant: it steps, predicts or trains when told to
lab          variants side by side, A B B A
study        what is measured next, and when it is settled
"""
