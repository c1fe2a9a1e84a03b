"""Whether new rows, and what the champion says of them, are still like those that it was trained on.

config      the project's section `watch`
reference   what a registered bundle keeps of its training's rows: reference.json
statistics  PSI, Jensen-Shannon distance, and how large both are without any drift
clusters    how alike rows that belong together are, and what that does to shares
units       which rows belong together, in a training and in newer rows
rows        rows as they arrive, with or without a target
newest      what the process that profiles newer rows is asked, and what it answers
measure     profiles rows and predictions in a process of its own
result      watch.json, and the report that people read
judge       the verdict, columns first, nulls and categories by Great Expectations
"""
