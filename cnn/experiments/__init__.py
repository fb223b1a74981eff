"""The experiments: each joins a task, a pipeline and the loop. `cli.main` runs one from the command line."""
