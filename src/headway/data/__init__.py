"""From a source to batches.

source      a table of rows from one or many files, streamed in canonical types; chunks: some of its rows
opening     the files of a project as one table; schemas: whether they can be one
files       which files a source names, and their format
formats     the rows of one file in its own format; folders: columns in the names of its folders
delimited   CSV; delimiters: of more than one character
records     JSON records
texts       files of text as rows; naming: what documents are called
reading     the settings that decide on the values of each row
fetch       public files with a known SHA-256; datasets: the known data sets
credentials addresses that hold a secret, refused
digests     digests of files, cached
canonical   values in one type and one spelling for each kind
arriving    rows to be predicted or watched
config      the `data`, `split` and `validation` sections of a project
earlier     settings in the YAML of earlier versions
passes      one reading of a table for all that is asked of it, by several threads
continuation passes that go on behind the files that were read before; cache: what was kept of them
profile     a summary of each column; file_profiles: kept for each file
checks      constant columns, ids, leaks, overlap; alone: how well one column predicts the target; sample: of rows
rules       the expectations that a project may state; conditions: on single rows
measure     the metrics that expectations need; meters: what they are computed from; distinct: a column's distinct values
identity    what tells rows apart; hashed_rows: those of all rows; scratch: a number of each row
shingles    what tells passages of text apart
split       training, validation and test
moments     when each row happened; date_formats: the formats of texts; periods: the units of a test by time
series      rows as time series; history: their earlier values; past: what a model is given of them
learnt_rows the rows that a model was trained on
documents   the documents of a project without a target
prepare     the fitted preparation; fit: fits it; inputs: the shape of its arrays
prepared_rows rows as a model takes them, and what each column became
store       prepared arrays on disk; storing: making them; arrays: written piece by piece; ready: whether a store can be used again
batches     batches of a table; streamed: one that does not fit; padded, sparse: ragged rows; loader: by a plain DataLoader
tokens      the tokens of documents; windows: their batches
"""
