"""Pages and figures about trained models: the report of a run, a sampling trajectory, runs side by side."""
