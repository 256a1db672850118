"""`jevons bench`: an instance of its own under a bounded load, measured from outside."""
