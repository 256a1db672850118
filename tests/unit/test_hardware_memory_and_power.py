"""KV tiers, speculation and energy: figures that can be worked out by hand."""

import pytest

from models.core.errors import BadInput
from models.core.hardware import Replica
from models.costs.hardware_energy import Site, board_watts, owned_usd_per_chip_hour, site_watts_per_chip
from models.costs.hardware_shape import Shape
from models.costs.hardware_speculation import Speculation, tokens_per_step
from models.costs.hardware_terms import terms_of
from models.costs.hardware_tiers import holding_usd, reload, reload_beats_recompute, worth_holding_seconds
from models.prices.hardware_catalogue import shipped_catalogue

CATALOGUE = shipped_catalogue()
TIERS = CATALOGUE.storage_tiers
LLAMA = Replica(
    accelerator=CATALOGUE.accelerators["h100_sxm"],
    architecture=CATALOGUE.architectures["llama-3.1-70b"],
    chips=8,
    precision="fp8",
    kv_element_bytes=1.0,
)


def test_a_hit_in_the_accelerators_memory_loads_nothing() -> None:
    assert reload(LLAMA, TIERS["hbm"], 96_000).seconds == 0


def test_a_token_of_llama_70b_takes_2_6_microseconds_over_pcie() -> None:
    # 163,840 bytes over 64 GB/s.
    assert reload(LLAMA, TIERS["dram_pcie5"], 1).seconds == pytest.approx(2.56e-6)


def test_prefetch_hides_the_load_and_the_rest_stalls_every_chip() -> None:
    found = reload(LLAMA, TIERS["dram_pcie5"], 100_000, hidden_seconds=0.2)
    assert found.stall_seconds == pytest.approx(0.256 - 0.2)
    assert found.stall_chip_seconds == pytest.approx(8 * found.stall_seconds)


def test_host_memory_beats_recomputing_and_one_drive_does_not() -> None:
    terms = terms_of(LLAMA, 1, Shape(4096, 0, 1))
    assert reload_beats_recompute(LLAMA, terms, TIERS["dram_pcie5"], devices=8)
    slow = 163_840 / 10e9
    assert reload_beats_recompute(LLAMA, terms, TIERS["nvme_gen5"]) == (slow < terms.prefill_token / 8)
    assert reload_beats_recompute(LLAMA, terms, TIERS["nvme_gen5"], devices=4)


def test_holding_costs_bytes_times_time_and_unknown_prices_stay_unknown() -> None:
    # 15.7 GB on NVMe at $0.08 per GB-month: $0.0017 an hour, so $0.0149 of recomputing pays for 8.7 hours.
    assert holding_usd(TIERS["nvme_gen5"], 15.73e9, 3600) == pytest.approx(0.00172, rel=0.01)
    hours = worth_holding_seconds(TIERS["nvme_gen5"], 15.73e9, 0.0149)
    assert hours is not None
    assert hours / 3600 == pytest.approx(8.7, rel=0.01)
    assert holding_usd(TIERS["rdma_400g"], 1e9, 3600) is None


def test_a_tier_of_unknown_speed_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="object_standard"):
        reload(LLAMA, TIERS["object_standard"], 1)


@pytest.mark.parametrize(
    ("drafted", "acceptance", "tokens"), [(4, 0.75, 3.05), (3, 0.0, 1.0), (3, 1.0, 4.0), (0, 0.5, 1.0)]
)
def test_tokens_per_verification(drafted: int, acceptance: float, tokens: float) -> None:
    assert tokens_per_step(drafted, acceptance) == pytest.approx(tokens, abs=0.005)


def test_speculation_without_acceptance_costs_more_and_the_break_even_is_where_it_costs_the_same() -> None:
    step = Speculation(drafted=3, step_seconds=0.010, verify_seconds=0.011, draft_seconds=0.001)
    assert step.relative_cost(0.0) == pytest.approx(1.4)
    even = step.break_even()
    assert even is not None
    assert step.relative_cost(even) == pytest.approx(1.0)
    assert step.draft_share() == pytest.approx(3 / 14)


def test_drafts_slower_than_decoding_never_pay() -> None:
    assert Speculation(drafted=2, step_seconds=0.01, verify_seconds=0.02, draft_seconds=0.01).break_even() is None


def test_power_lies_between_idle_and_rated() -> None:
    chip = CATALOGUE.accelerators["h100_sxm"]
    assert board_watts(chip, 0, 0) == pytest.approx(140)
    assert board_watts(chip, 1, 1) == pytest.approx(700)
    assert board_watts(chip, 0, 1) == pytest.approx(140 + 560 * 0.7)
    with pytest.raises(BadInput, match="groq3_lpx"):
        board_watts(CATALOGUE.accelerators["groq3_lpx"], 1, 1)


def test_the_grid_sees_node_losses_and_cooling_as_well() -> None:
    # (700 + (1271.6 + 405) / 8) / 0.955 × 1.3
    assert site_watts_per_chip(700, Site()) == pytest.approx(1238.2, abs=0.1)


def test_owned_hardware_costs_its_annuity_upkeep_and_energy() -> None:
    assert owned_usd_per_chip_hour(35_040, 4, 0, 876, 1.0, 0.08) == pytest.approx(1 + 0.1 + 0.08)
    assert owned_usd_per_chip_hour(35_040, 4, 0.1, 0, 0, 0) == pytest.approx(35_040 * 0.1 / (1 - 1.1**-4) / 8760)
