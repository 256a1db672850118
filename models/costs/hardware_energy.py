"""Energy and the price of owned hardware: board power, power of the system, USD per chip-hour."""

from dataclasses import dataclass

from models.core.errors import BadInput
from models.core.hardware import Accelerator

IDLE_SHARE = 0.2
"""Board power without load, as a share of the rated power; an estimate, boards differ."""
MEMORY_WEIGHT = 0.7
"""A memory-bound chip draws less than a compute-bound one."""
HOURS_PER_YEAR = 8760


@dataclass(slots=True, frozen=True, kw_only=True)
class Site:
    """What stands around the chips. Fixed power is that of one node of `chips_per_node`."""

    chips_per_node: int = 8
    node_fixed_w: float = 1271.6
    node_network_w: float = 405.0
    psu_efficiency: float = 0.955
    pue: float = 1.3


def board_watts(accelerator: Accelerator, compute_utilisation: float, memory_utilisation: float) -> float:
    """Power of one board under a load.

    Raises   BadInput when the rated power is not published, or a utilisation lies outside 0…1.
    Source   linear between idle and rated power in the busier of compute and 0.7 × memory; an estimate.
    """
    if accelerator.tdp_w is None:
        raise BadInput(f"tdp_w of {accelerator.id} is not published; add it in a catalogue file.")
    for name, share in (("compute", compute_utilisation), ("memory", memory_utilisation)):
        if not 0 <= share <= 1:
            raise BadInput(f"{name} utilisation {share} is not between 0 and 1.")
    idle = IDLE_SHARE * accelerator.tdp_w.value
    return idle + (accelerator.tdp_w.value - idle) * max(compute_utilisation, MEMORY_WEIGHT * memory_utilisation)


def site_watts_per_chip(board: float, site: Site) -> float:
    """Power drawn from the grid per chip: board, its share of the node, losses, cooling."""
    shared = (site.node_fixed_w + site.node_network_w) / site.chips_per_node
    return (board + shared) / site.psu_efficiency * site.pue


def owned_usd_per_chip_hour(
    capex_usd: float, years: float, interest: float, opex_usd_per_year: float, kw: float, usd_per_kwh: float
) -> float:
    """Hourly price of an owned chip: annuity of what it cost, yearly upkeep, and energy.

    Units    `kw` at the grid per chip, with cooling. Never add energy to a rental price: it is inside.
    Raises   BadInput for a lifetime of no years.
    """
    if years <= 0:
        raise BadInput(f"years is {years}; hardware has to last longer than that.")
    annuity = capex_usd / years if interest == 0 else capex_usd * interest / (1 - (1 + interest) ** -years)
    return (annuity + opex_usd_per_year) / HOURS_PER_YEAR + kw * usd_per_kwh
