"""Bytes become spans, and the spans of a link group become calls. No SQL, no prices."""
