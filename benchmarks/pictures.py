"""Pictures of the tables, as SVG files, drawn by pygal."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BAR_PX = 26
EDGE_PX = 130
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


def _chart(pygal: Any, picture: Picture, labels: list[str]) -> Any:
    several = len(picture.series) > 1
    bars = len(labels) * (len(picture.series) + several)
    kind = pygal.Line if picture.lines else pygal.HorizontalBar
    return kind(
        title=picture.title,
        style=_style(pygal),
        # No script: its default one would be asked of another host.
        js=[],
        show_legend=several,
        legend_at_bottom=True,
        logarithmic=picture.logarithmic,
        print_values=not picture.lines and not several,
        value_formatter="{:,.4g}".format,
        width=WIDTH_PX,
        height=420 if picture.lines else EDGE_PX + bars * BAR_PX * (1 if not several else 0.5),
        margin=12,
        disable_xml_declaration=True,
        no_data_text="nothing was measured",
    )


def draw(picture: Picture, folder: Path) -> Path:
    """Write a picture into *folder*, and return its path.

    Raises:
        ImportError: pygal is not installed; the extra `bench` brings it.
    """
    pygal: Any = importlib.import_module("pygal")
    importlib.import_module("pygal.style")
    labels = list(dict.fromkeys(label for values in picture.series.values() for label in values))
    if len(picture.series) == 1:
        # What was not measured has no bar.
        (values,) = picture.series.values()
        labels = [label for label in labels if values[label]]
    if not picture.lines:
        labels.reverse()
    chart = _chart(pygal, picture, labels)
    chart.x_labels = labels
    for name, values in picture.series.items():
        chart.add(name, [values.get(label) or None for label in labels])
    path = folder / f"{picture.name}.svg"
    path.write_bytes(chart.render())
    return path
