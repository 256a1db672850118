"""Every arithmetic step from count to cost, as pure functions. No I/O, no clock."""
