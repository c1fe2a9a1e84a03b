"""The registered bundle: everything needed to predict from raw rows, in one folder without pickle.

bundle    a bundle, loaded; whole: only undamaged ones; interval, spread: where a target lies
text      a bundle that reads documents; sampling: how it goes on with a text
reading   rows to predict, read as in training; rows: which of them can be predicted
following the past of rows of time series
stream    batch scoring of one file; parts: its output; workers: processes that predict; pace: how fast
explain   what each column contributes to a prediction; importance: of columns, on its test rows
app       the HTTP server; body: a request's rows; config: its limits
pyfunc    the bundle as an MLflow model
rehearse  predictions of the test rows in a fresh process; outcome: its result
faster    compiled and int8 prediction
"""
