"""One page, one question."""
