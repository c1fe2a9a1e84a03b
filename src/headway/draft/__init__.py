"""`headway init`: drafts a project from its data.

writing   how its values are written, where not plainly; numerals: of numbers, dating: of dates
guess     the likely type of a column
plan      the decisions so far
yaml      the plan as a commented YAML, with its expectations
drafting  the decisions, and writing the file
"""
