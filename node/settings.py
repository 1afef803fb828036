"""Every setting of a node: flag, environment variable, TOML file, in that order of precedence."""
