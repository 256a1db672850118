"""Colours of both themes, spelt once: CSS variables, Plotly templates, the series palette and its tints."""

from typing import Literal

import plotly.graph_objects as go

Scheme = Literal["light", "dark"]

TOKENS: dict[Scheme, dict[str, str]] = {
    "light": {
        "bg": "#F6F7F9",
        "surface": "#FFFFFF",
        "surface-2": "#F1F3F6",
        "line": "#E3E7EC",
        "line-2": "#CBD2DB",
        "ink": "#16202E",
        "ink-2": "#465264",
        "ink-3": "#667283",
        "accent": "#2B5FC7",
        "accent-bg": "#EAF0FB",
        "ok": "#166E4F",
        "ok-bg": "#E6F4EE",
        "warn": "#955900",
        "warn-bg": "#FDF2DC",
        "critical": "#B42331",
        "critical-bg": "#FBEAEB",
        "bar": "#DCE6F8",
        "bar-warm": "#FBE6D0",
        "up": "#A94B12",
        "down": "#2B66C9",
    },
    "dark": {
        "bg": "#0F141B",
        "surface": "#171D26",
        "surface-2": "#202833",
        "line": "#2A3340",
        "line-2": "#3D4858",
        "ink": "#E9EDF3",
        "ink-2": "#B6C0CD",
        "ink-3": "#8F9BAB",
        "accent": "#7EA6FF",
        "accent-bg": "#1D2A44",
        "ok": "#4CC596",
        "ok-bg": "#15302A",
        "warn": "#E9B44C",
        "warn-bg": "#362B15",
        "critical": "#F4808A",
        "critical-bg": "#3A1D22",
        "bar": "#24395F",
        "bar-warm": "#4A3520",
        "up": "#F2A65A",
        "down": "#7FA8F5",
    },
}

SERIES: dict[Scheme, tuple[str, ...]] = {
    "light": ("#2B66C9", "#E58A2E", "#1A9A8A", "#43246F", "#86C2EC", "#A8325F", "#A3ABB7"),
    "dark": ("#4F86EE", "#F2A65A", "#35C0AC", "#C3AEF5", "#D3ECFB", "#C23B74", "#7A8594"),
}
"""Blue, orange, teal, violet, sky, wine; the last is grey for everything else.

Told apart under simulated deutan, protan and tritan vision: tests/unit/test_palette.py.
"""
GREY = len(SERIES["light"]) - 1

FONT = "'Inter Variable', system-ui, sans-serif"
MONO = "'JetBrains Mono Variable', ui-monospace, monospace"


def css_variables() -> str:
    """The tokens and series of both themes as CSS variables."""
    blocks: list[str] = []
    selectors: dict[Scheme, str] = {"light": ":root", "dark": '[data-mantine-color-scheme="dark"]'}
    for scheme, selector in selectors.items():
        names = {**TOKENS[scheme], **{f"series-{at}": colour for at, colour in enumerate(SERIES[scheme])}}
        blocks.append(f"{selector}{{{''.join(f'--{name}:{colour};' for name, colour in names.items())}}}")
    return "".join(blocks)


def rgb(colour: str) -> tuple[int, int, int]:
    """`#RRGGBB` as three numbers of 0–255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def tint(colour: str, share: float, scheme: Scheme) -> str:
    """A colour moved toward the surface by a share of the way: parts of one thing are tints of its colour."""
    surface = rgb(TOKENS[scheme]["surface"])
    mixed = (round(own + (ground - own) * share) for own, ground in zip(rgb(colour), surface, strict=True))
    return "#" + "".join(f"{part:02X}" for part in mixed)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""

    def linear(part: int) -> float:
        share = part / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(part) for part in rgb(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio as WCAG 2 defines it, 1 to 21."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def ink_on(colour: str) -> str:
    """White or near-black, whichever reads better on the colour."""
    return max(("#FFFFFF", "#0F141B"), key=lambda ink: contrast(ink, colour))


def _template(scheme: Scheme) -> go.layout.Template:
    token = TOKENS[scheme]
    axis = {
        "fixedrange": True,
        "ticks": "",
        "zeroline": False,
        "tickangle": 0,
        "automargin": False,
        "tickfont": {"color": token["ink-3"], "size": 11.5},
    }
    return go.layout.Template(
        layout={
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": FONT, "size": 11.5, "color": token["ink-2"]},
            "colorway": list(SERIES[scheme]),
            "showlegend": False,
            "hovermode": "x unified",
            "hoverlabel": {
                "bgcolor": token["surface"],
                "bordercolor": token["line-2"],
                "font": {"family": FONT, "size": 12, "color": token["ink"]},
            },
            "xaxis": {**axis, "showgrid": False, "showline": True, "linecolor": token["line-2"]},
            "yaxis": {**axis, "gridcolor": token["line"], "showline": False, "nticks": 5},
            "margin": {"l": 46, "r": 8, "t": 8, "b": 24},
        }
    )


TEMPLATES: dict[Scheme, go.layout.Template] = {"light": _template("light"), "dark": _template("dark")}
