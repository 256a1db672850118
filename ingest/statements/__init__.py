"""Providers' statements: usage and cost as the one who bills tells them."""
