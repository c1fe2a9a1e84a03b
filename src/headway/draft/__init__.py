"""`headway init`: a project drafted from the data it is to learn from.

writing   how its values seem to be written, where not plainly; numerals of numbers, dating of dates
guess     what a column seems to hold
plan      what has been decided so far
yaml      the plan as a commented YAML, with its expectations
drafting  all of it, and the file that is written
"""
