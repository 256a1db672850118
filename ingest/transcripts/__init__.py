"""Session files and spend logs of tools that emit no OTLP, read as spans."""
