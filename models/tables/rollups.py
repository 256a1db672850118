"""Sums of the ledger: what every page reads. Conclusions: dropped and added up again from charges at any time."""
