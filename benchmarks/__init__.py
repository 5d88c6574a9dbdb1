"""Speed against what a user would otherwise run: one module a table, `python -m benchmarks.<name>`."""

from harness.commands.quiet import quiet_libraries

quiet_libraries()
