"""The palette can be told apart by everyone, and its text can be read."""

from itertools import combinations

import pytest

from dashboards.theme import GREY, SERIES, TOKENS, contrast, ink_on, rgb

SCHEMES = ("light", "dark")

# Severity 1.0 matrices on linear RGB. Source: Machado, Oliveira and Fernandes, "A Physiologically-based Model for
# Simulation of Color Vision Deficiency", IEEE TVCG 15(6), 2009, table 1.
DEFICIENCIES = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def linear(part: int) -> float:
    share = part / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


def lab(colour: str, deficiency: str) -> tuple[float, float, float]:
    """CIE L*a*b* (D65) of a colour as somebody with the deficiency sees it."""
    seen = [linear(part) for part in rgb(colour)]
    red, green, blue = (
        min(max(sum(weight * part for weight, part in zip(row, seen, strict=True)), 0.0), 1.0)
        for row in DEFICIENCIES[deficiency]
    )
    x = (0.4124564 * red + 0.3575761 * green + 0.1804375 * blue) / 0.95047
    y = 0.2126729 * red + 0.7151522 * green + 0.0721750 * blue
    z = (0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / 1.08883

    def curve(value: float) -> float:
        return value ** (1 / 3) if value > 216 / 24389 else (24389 / 27 * value + 16) / 116

    return 116 * curve(y) - 16, 500 * (curve(x) - curve(y)), 200 * (curve(y) - curve(z))


def delta_e(one: str, other: str, deficiency: str) -> float:
    return sum((a - b) ** 2 for a, b in zip(lab(one, deficiency), lab(other, deficiency), strict=True)) ** 0.5


def test_the_difference_of_black_and_white_is_a_hundred() -> None:
    assert delta_e("#000000", "#FFFFFF", "none") == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_every_two_series_can_be_told_apart(scheme: str, deficiency: str) -> None:
    closest = min(combinations(SERIES[scheme], 2), key=lambda pair: delta_e(*pair, deficiency))
    assert delta_e(*closest, deficiency) > 13, f"{scheme}, {deficiency}: {closest}"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("ink", ["ink", "ink-2", "ink-3", "up", "down", "accent"])
def test_text_on_a_card_has_enough_contrast(scheme: str, ink: str) -> None:
    assert contrast(TOKENS[scheme][ink], TOKENS[scheme]["surface"]) >= 4.5


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("role", ["ok", "warn", "critical", "accent"])
def test_text_of_a_badge_has_enough_contrast(scheme: str, role: str) -> None:
    assert contrast(TOKENS[scheme][role], TOKENS[scheme][f"{role}-bg"]) >= 4.5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_label_on_a_series_colour_can_be_read(scheme: str) -> None:
    for colour in SERIES[scheme][: GREY + 1]:
        assert contrast(ink_on(colour), colour) >= 4.5
