"""Speed against what a user would otherwise run: one module a table, `python -m benchmarks.<name>`."""
