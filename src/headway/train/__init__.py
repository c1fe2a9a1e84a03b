"""The training core: runs from a run directory, needs only torch, numpy, pandas, pyarrow, pydantic, PyYAML."""
