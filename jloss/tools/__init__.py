"""What `python -m jloss` runs: checks, the benchmark, the comparison in training."""
