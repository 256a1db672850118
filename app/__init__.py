"""Entry points: HTTP, worker, command line, settings, composition root, supervisor."""
