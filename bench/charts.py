"""Bars as SVG, by hand: readable on light and dark pages, and the same bytes for the same figures."""

from __future__ import annotations

from typing import Final, NamedTuple
from xml.sax.saxutils import escape

_LABELS, _BARS, _ROW, _TOP = 330, 330, 22, 34
_WIDTH: Final = _LABELS + _BARS + 110
_OURS, _PEER, _INK = "#2a7de1", "#9aa0a6", "#808080"


class Bar(NamedTuple):
    """One bar, with a whisker from the least to the greatest."""

    label: str
    median: float
    least: float
    greatest: float
    peer: bool = False


def bars(title: str, rows: list[Bar]) -> str:
    """A chart, at least one row."""
    scale = _BARS / (max(row.greatest for row in rows) or 1)
    height = _TOP + _ROW * len(rows) + 8
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}">',
        f'<g font-family="sans-serif" font-size="12" fill="{_INK}">',
        f'<title>{escape(title)}</title><text x="8" y="20" font-size="14" font-weight="bold">{escape(title)}</text>',
    ]
    for i, row in enumerate(rows):
        y = _TOP + i * _ROW
        least, greatest = (_LABELS + x * scale for x in (row.least, row.greatest))
        colour, number = _PEER if row.peer else _OURS, f"{row.median:,.0f}" if row.median >= 100 else f"{row.median:.2f}"
        out += [
            f'<text x="{_LABELS - 8}" y="{y + 13}" text-anchor="end">{escape(row.label)}</text>',
            f'<rect x="{_LABELS}" y="{y + 3}" width="{row.median * scale:.1f}" height="13" fill="{colour}"/>',
            f'<path d="M{least:.1f} {y + 9.5}H{greatest:.1f}" stroke="{_INK}" stroke-width="2"/>',
            f'<text x="{greatest + 6:.1f}" y="{y + 13}">{number}</text>',
        ]
    return "\n".join([*out, "</g></svg>", ""])
