"""Benchmarks: armillary bench. Every figure stands beside a reference that was measured in the same run."""
