"""Dated price data and the hardware catalogue, with their sources."""
