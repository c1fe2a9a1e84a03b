"""Great Expectations: the only room that imports it.

judge      expectations, judged by Great Expectations from metrics that are measured in one streaming pass
ruling     Great Expectations' own objects: what they need to know, and what they decide
typed      arguments in their column's type
statement  an expectation as a project states it
page       the page of a validation
"""
