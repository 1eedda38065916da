"""Pictures of the tables, as SVG files, drawn by pygal."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import shown

OURS = "remit"
SCRIPT = re.compile(r"<script.*?</script>|<!--.*?-->", re.DOTALL)
"""What a picture has no use for: settings of a script that it does without, and the date."""
BAR_PX = 26
SERIES_PX = 13
EDGE_PX = 130
LINES_PX = 420
RIGHT_PX = 60
WIDTH_PX = 860
COLOURS = ("#9aa5b1", "#1f6feb", "#bf8700", "#cf222e", "#8250df", "#1a7f37", "#57606a", "#0a3069")


@dataclass(frozen=True)
class Picture:
    """What is to be drawn.

    Attributes:
        name: Of the file.
        title: Above the picture, with the unit.
        series: For each name in the legend, values by label; one that is missing is left out.
        lines: Whether these are lines over the labels; else they are bars.
        logarithmic: Whether each step of the scale is ten times the one before.
    """

    name: str
    title: str
    series: Mapping[str, Mapping[str, float | None]]
    lines: bool = False
    logarithmic: bool = True


def _style(pygal: Any) -> Any:
    return pygal.style.Style(
        background="white",
        plot_background="white",
        colors=COLOURS,
        font_family="sans-serif",
        title_font_size=15,
        label_font_size=12,
        major_label_font_size=12,
        value_font_size=11,
        legend_font_size=12,
    )


def _scale(values: list[float]) -> list[float]:
    """Return the labels of a logarithmic scale: 1, 3, 10 and so on, around all values."""
    low, high = min(values), max(values)
    begin, end = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = [step * 10.0**power for power in range(begin, end + 1) for step in (1, 3)]
    first = max(index for index, step in enumerate(steps) if step <= low)
    last = min(index for index, step in enumerate(steps) if step >= high)
    return steps[max(first - (steps[first] == low), 0) : last + 1]


def _chart(pygal: Any, picture: Picture, labels: list[str], values: list[float]) -> Any:
    several = len(picture.series) > 1
    bars = len(labels) * (len(picture.series) + several)
    kind = pygal.Line if picture.lines else pygal.HorizontalBar
    chart = kind(
        title=picture.title,
        style=_style(pygal),
        # No script: its default one would be asked of another host.
        js=[],
        show_legend=several,
        legend_at_bottom=True,
        logarithmic=picture.logarithmic,
        print_values=not picture.lines and not several,
        print_values_position="top",
        value_formatter=shown.figure,
        width=WIDTH_PX,
        height=LINES_PX if picture.lines else EDGE_PX + bars * (SERIES_PX if several else BAR_PX),
        margin=12,
        margin_right=RIGHT_PX,
        disable_xml_declaration=True,
        no_data_text="nothing was measured",
    )
    chart.x_labels = labels
    if picture.logarithmic and values:
        chart.y_labels = scale = _scale(values)
        chart.zero = scale[0]
    return chart


def draw(picture: Picture, folder: Path) -> Path:
    """Write a picture into *folder*, and return its path.

    Raises:
        ImportError: pygal is not installed; the extra `bench` brings it.
    """
    pygal: Any = importlib.import_module("pygal")
    importlib.import_module("pygal.style")
    labels = list(dict.fromkeys(label for found in picture.series.values() for label in found))
    values = [value for found in picture.series.values() for value in found.values() if value]
    # What was not measured at all has no place.
    labels = [
        label for label in labels if any(found.get(label) for found in picture.series.values())
    ]
    if not picture.lines:
        labels.reverse()
    chart = _chart(pygal, picture, labels, values)
    for name, found in picture.series.items():
        chart.add(name, [_bar(name, label, found.get(label) or None, picture) for label in labels])
    path = folder / f"{picture.name}.svg"
    drawn = SCRIPT.sub("", chart.render(is_unicode=True))
    # The same figures give the same file.
    path.write_text(drawn.replace(f"chart-{chart.uuid}", picture.name) + "\n")
    return path


def _bar(name: str, label: str, value: float | None, picture: Picture) -> dict[str, Any]:
    """Return a value as it is drawn: remit's stands out among bars of one colour."""
    ours = OURS in (name, label) and len(picture.series) == 1
    return {"value": value, **({"color": COLOURS[1]} if ours else {})}
