"""Real PostgreSQL and Valkey from wheels, started beside the product when no server is named."""
