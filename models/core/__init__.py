"""Words, units, money, frames, faults. Imports no I/O library."""
