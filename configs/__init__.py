"""One experiment per file: `get_config(arg)` returns a flat `ml_collections.ConfigDict`."""
