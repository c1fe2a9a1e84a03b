"""The registered bundle: everything needed to predict from raw rows, in one folder without pickle."""
