"""The effect study: what each efficiency technique gains on this model, this data and this machine, at equal quality.

technique    a named edit of the recipe; techniques/ has one file each
statistics   from samples to intervals and verdicts of times; corrections: p-values of many tests; verdict: one of times and quality
worker       the process of one variant or several; station: the other end of its pipe; desks: what it answers
together     a session: variants in turns beside one baseline; contention: what else the machine did
trainers     trainings for quality, on all cores at once; trainings: which are missing; quality: by epoch
lab          all of these on this machine
study        the order of measurements; sessions: within the budget; looks: how often; notebook: kept on disk
findings     intervals and verdicts from the notebook; equality: of quality; cost: of a run
stack        techniques together; confirmation: on fresh samples
results      effect.json, the result of a study; conclusions makes it from the notebook
report       the HTML report; report_tables: its tables; pictures: as SVG; words: figures in words
main         the process of a study
"""
