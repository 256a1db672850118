"""The shape of what is kept: tables, keys, constraints."""
