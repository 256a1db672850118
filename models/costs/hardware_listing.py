"""The hardware catalogue as JSON-ready values: every figure beside its source and confidence."""

from dataclasses import asdict
from typing import Any

from models.core.hardware import HardwareCatalogue


def listing(catalogue: HardwareCatalogue) -> dict[str, Any]:
    """Accelerators, models and storage tiers by id, with `announced` as a badge of its own."""
    return {
        "accelerators": [
            {**asdict(each), "announced": each.announced} for _, each in sorted(catalogue.accelerators.items())
        ],
        "models": [
            {**asdict(each), "layers": each.layers, "total_parameters": each.parameters.total}
            for _, each in sorted(catalogue.architectures.items())
        ],
        "storage_tiers": [asdict(each) for _, each in sorted(catalogue.storage_tiers.items())],
    }
