"""HTTP routes: parse, authorise, ask, answer."""
