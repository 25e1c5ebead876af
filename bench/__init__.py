"""Benchmarks of roomlog and its peers, side by side in one run. `make bench` runs all of them."""
