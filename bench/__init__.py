"""Benchmarks: run with `make bench`. They print; nothing is gated on time."""
