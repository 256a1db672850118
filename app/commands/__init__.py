"""Commands, one file per group; each module has `register(cli)` and imports what is heavy inside its functions."""
