"""Pages and figures about runs: the report, and runs side by side."""
