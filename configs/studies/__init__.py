"""The claims of the lecture notes as experiments: one file a study, run by `--mode=study`."""
