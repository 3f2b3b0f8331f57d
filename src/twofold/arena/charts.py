"""Charts as SVG text: dots on a logarithmic axis for an overview, bars for one row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import NamedTuple

WIDTH = 960
LABELS = 350  # pixels of the names on the left
LINE = 30  # from one row to the next
TOP, BOTTOM = 34, 12
RIGHT = 28


class Dot(NamedTuple):
    """One contestant in one row of an overview."""

    kind: str  # the framework: its colour and shape
    value: float
    tip: str


class Bar(NamedTuple):
    """One contestant of one row."""

    kind: str
    label: str
    value: float
    low: float
    high: float
    text: str


Rows = Sequence[tuple[str, Sequence[Dot]]]


def dots(rows: Rows, tick: Callable[[float], str], log: bool = True, top: float = 0.0) -> str:
    """A row of dots for each name. The axis is logarithmic, or begins at 0."""
    values = [dot.value for _, row in rows for dot in row if dot.value > 0]
    if not values:
        return ""
    scale, ticks = logarithmic(values) if log else linear(top or max(values))
    height = TOP + LINE * len(rows) + BOTTOM
    parts = list(axis(scale, ticks, tick, height))
    for number, (name, row) in enumerate(rows):
        y = TOP + LINE * number + LINE / 2
        parts.append(f'<text class="name" x="{LABELS - 14}" y="{y + 4:.0f}">{escape(name)}</text>')
        shown = sorted((d for d in row if d.value > 0), key=lambda dot: dot.kind == "twofold")
        if len(shown) > 1:
            ends = sorted(scale(dot.value) for dot in shown)
            parts.append(f'<path class="span" d="M{ends[0]:.1f} {y}H{ends[-1]:.1f}"/>')
        parts += [mark(dot, scale(dot.value), y) for dot in shown]
    return svg(height, parts)


def mark(dot: Dot, x: float, y: float) -> str:
    """Twofold is a diamond, everybody else a disc: colour is not the only difference."""
    tip = f"<title>{escape(dot.tip)}</title>"
    if dot.kind == "twofold":
        return f'<path class="dot {dot.kind}" d="M{x - 8:.1f} {y}l8 -8 8 8 -8 8z">{tip}</path>'
    return f'<circle class="dot {dot.kind}" cx="{x:.1f}" cy="{y}" r="5.5">{tip}</circle>'


def bars(rows: Sequence[Bar], limit: float | None = None, limit_text: str = "") -> str:
    """Horizontal bars from 0, whiskers for the spread, a dashed line at the machine's limit.

    Bars beyond ten times the median of the faster half are cut off, with a slanted edge.
    """
    if not rows:
        return ""
    values = sorted(bar.value for bar in rows)
    longest = min(values[-1], 8 * values[len(values) // 2 // 2])
    left, room = 200, WIDTH - 200 - 170
    line, height = 26, 26 * len(rows) + (26 if limit else 8)
    parts = []
    for number, bar in enumerate(rows):
        y = line * number + 4
        length = room * min(1.0, bar.value / longest)
        parts.append(f'<text class="name" x="{left - 12}" y="{y + 14}">{escape(bar.label)}</text>')
        parts.append(
            f'<rect class="bar {bar.kind}" x="{left}" y="{y}" width="{max(length, 1.5):.1f}" '
            f'height="18" rx="3"/>'
        )
        end = left + length
        if bar.value > longest:
            parts.append(f'<path class="cut" d="M{end - 16:.1f} {y + 20}l8 -22M{end - 9:.1f} '
                         f'{y + 20}l8 -22"/>')  # fmt: skip
        elif bar.high > bar.low:
            low, high = (left + room * min(1.06, v / longest) for v in (bar.low, bar.high))
            parts.append(
                f'<path class="whisker" d="M{low:.1f} {y + 9}H{high:.1f}M{low:.1f} {y + 5}v8'
                f'M{high:.1f} {y + 5}v8"/>'
            )
            end = max(end, high)
        text = escape(bar.text)
        parts.append(f'<text class="value" x="{end + 8:.1f}" y="{y + 14}">{text}</text>')
    if limit and limit <= longest:
        x = left + room * limit / longest
        parts.append(f'<path class="limit" d="M{x:.1f} 0V{height - 18}"/>')
        anchor = "start" if x < left + room / 2 else "end"
        parts.append(
            f'<text class="limit-text" text-anchor="{anchor}" x="{x:.1f}" y="{height - 4}">'
            f"{escape(limit_text)}</text>"
        )
    return svg(height, parts)


Scale = Callable[[float], float]


def logarithmic(values: Sequence[float]) -> tuple[Scale, list[float]]:
    low, high = math.log10(min(values)), math.log10(max(values))
    high = max(high, low + 0.5) + 0.03

    def scale(value: float) -> float:
        part = (math.log10(value) - low) / (high - low)
        return LABELS + 10 + (WIDTH - LABELS - RIGHT - 10) * part

    steps = (1, 2, 5) if high - low < 2.2 else (1,)
    ticks = [s * 10.0**p for p in range(math.floor(low), math.ceil(high) + 1) for s in steps]
    return scale, [t for t in ticks if low - 1e-9 <= math.log10(t) <= high]


def linear(top: float) -> tuple[Scale, list[float]]:
    def scale(value: float) -> float:
        return LABELS + 10 + (WIDTH - LABELS - RIGHT - 10) * min(value / top, 1.0)

    return scale, [top * part / 5 for part in range(6)]


def axis(
    scale: Scale, ticks: Sequence[float], text: Callable[[float], str], height: int
) -> Iterator[str]:
    for tick in ticks:
        x = scale(tick)
        yield f'<path class="grid" d="M{x:.1f} {TOP - 8}V{height - BOTTOM}"/>'
        yield f'<text class="tick" x="{x:.1f}" y="{TOP - 16}">{escape(text(tick))}</text>'


def svg(height: float, parts: Sequence[str]) -> str:
    inside = "".join(parts)
    drawing = f'<svg viewBox="0 0 {WIDTH} {height}" role="img">{inside}</svg>'
    return f'<div class="chart">{drawing}</div>'
