"""`headway init`: drafts a project from its data.

layout    the layout of its files: format, delimiter, line of names; encoding: of their characters; heading: names that are not whole;
          objects: one object of JSON instead of rows
first_rows the rows that decisions are made on
settings  `--set`: how the table is read, and settings that replace those of the draft
writing   the form of its values, where it is not plain; numerals: of numbers, dating: of dates
guess     the likely type of a column
series    whether rows are time series, in which steps
notes     what people should know beside the decisions
plan      the decisions so far
yaml      the plan as a commented YAML, with its expectations
leaks     columns that may be known only after the target; parts: test rows that the data names
drafting  the decisions, and writing the file
"""
