"""What things cost and what is kept."""
