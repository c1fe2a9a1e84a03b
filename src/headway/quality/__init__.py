"""Great Expectations: the only room that imports it.

judge      expectations, judged by Great Expectations from metrics that are measured in one streaming pass
statement  an expectation as a project states it
page       the page of a validation
"""
