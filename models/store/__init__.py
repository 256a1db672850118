"""The only place that speaks SQL. The caller owns the transaction."""
