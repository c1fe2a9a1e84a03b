"""From a source to batches: source, profile, checks, split, prepare, store, batches."""
