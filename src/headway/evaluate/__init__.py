"""What a model is worth on rows that it has never seen: metrics with intervals, slices, baselines, pictures, the gate."""
