"""The reference workload with its own oracle."""
