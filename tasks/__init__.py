"""The tasks: cards and the readers that turn raw files into labeled sentences. Installed as harness.tasks."""
