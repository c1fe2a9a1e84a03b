"""Whether new rows, and the champion's predictions for them, are still like the rows that it was trained on.

config      the project's section `watch`
reference   the profile of the training's rows in a registered bundle: reference.json
statistics  PSI, Jensen-Shannon distance, and how large both are without any drift
clusters    how alike rows that belong together are, and what that does to shares
units       which rows belong together, in a training and in newer rows
rows        rows as they arrive, with or without a target
newest      what the process that profiles newer rows is asked, and what it answers
measure     profiles rows and predictions in a process of its own
result      watch.json, and the report that people read
judge       the verdict: shifts of columns, and nulls and categories by Great Expectations
"""
