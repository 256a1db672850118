"""Where the pages have their statistics calculated; the composition root hands it in."""

from models.core.running import Run, here

_run: Run = here


def use_statistics(run: Run) -> None:
    """Hand it to the pages; called once by the composition root."""
    global _run
    _run = run


def current_statistics() -> Run:
    """What is in force."""
    return _run
