"""Pages that draw. They state what they need in `reader` and are handed it by `app.wiring`."""
