"""The screens about many runs: the list of runs, and two runs side by side."""
