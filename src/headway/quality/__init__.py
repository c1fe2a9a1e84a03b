"""Great Expectations: the only room that imports it.

judge  rules on the data, judged by Great Expectations from metrics that are measured in one streaming pass
page   the page of a validation
"""
