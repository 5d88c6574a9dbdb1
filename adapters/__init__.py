"""The systems: what trains, prompts and predicts. Installed as harness.adapters."""
