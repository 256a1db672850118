"""Worker tasks: order of work, retries, transactions."""
