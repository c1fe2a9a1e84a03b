"""`headway init`: drafts a project from its data.

layout    how its files are laid out: format, delimiter, line of names; encoding: of their characters
first_rows the rows that decisions are made on
settings  `--set`: what users state of the table, and what is written over the draft
writing   how its values are written, where not plainly; numerals: of numbers, dating: of dates
guess     the likely type of a column
series    whether rows are time series, in which steps
notes     what people should know beside the decisions
plan      the decisions so far
yaml      the plan as a commented YAML, with its expectations
drafting  the decisions, and writing the file
"""
