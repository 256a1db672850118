"""`python -m app` is `jevons`."""

from app.cli import main

if __name__ == "__main__":
    main()
