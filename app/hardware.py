"""The hardware catalogue of this instance: shipped figures and the files beside its data."""

from functools import lru_cache
from pathlib import Path

from models.core.hardware import HardwareCatalogue
from models.prices.hardware_catalogue import load_catalogue

SUFFIXES = (".toml", ".json")


def catalogue_of(data_dir: Path) -> HardwareCatalogue:
    """Shipped figures with `<data-dir>/hardware/*.toml` and `*.json` on top, in the order of their names.

    Raises   BadInput naming file, field and reason.
    """
    folder = data_dir / "hardware"
    files = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES) if folder.is_dir() else []
    return _loaded(tuple((path, path.stat().st_mtime_ns) for path in files))


@lru_cache(maxsize=4)
def _loaded(files: tuple[tuple[Path, int], ...]) -> HardwareCatalogue:
    return load_catalogue([path for path, _ in files])
