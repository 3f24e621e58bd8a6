"""The curves of ``python -m bench growth`` as pictures."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot

from bench.peers.growth import Curves, Growth
from bench.peers.libraries import CEILING, OURS

_TITLES = {
    "get": "get by id",
    "list": "list of the newest 100",
    "add": "add",
    "progress": "report of progress",
}
_COLOURS = {OURS: "tab:red", CEILING: "black"}
_OTHERS = ("blue", "orange", "green", "brown", "purple", "pink", "gray", "olive", "cyan")


def plot(growth: Growth, folder: Path) -> None:
    """Writes rows.png, tasks.png and processes.png."""
    _picture(growth.rows, "rows in the table", folder / "rows.png")
    _picture(growth.tasks, "tasks at once", folder / "tasks.png")
    _picture(growth.processes, "processes of 8 tasks", folder / "processes.png")


def _picture(curves: Curves, axis: str, path: Path) -> None:
    figure, panels = pyplot.subplots(
        1, len(curves), figsize=(5 * len(curves), 4.4), squeeze=False, layout="constrained"
    )
    for panel, (kind, by_peer) in zip(panels[0], curves.items(), strict=True):
        panel.set_prop_cycle(color=[f"tab:{colour}" for colour in _OTHERS])
        for peer, points in by_peer.items():
            panel.plot(
                [point.at for point in points],
                [point.operations_per_second for point in points],
                label=peer,
                marker="o",
                markersize=3,
                linewidth=2.5 if peer == OURS else 1.2,
                linestyle="--" if peer == CEILING else "-",
                color=_COLOURS.get(peer),
            )
        panel.set(title=_TITLES[kind], xlabel=axis, ylabel="operations a second", xscale="log")
        panel.set_yscale("log")
        panel.grid(which="both", alpha=0.25)
        ticks = sorted({point.at for points in by_peer.values() for point in points})
        panel.set_xticks(ticks, [_short(tick) for tick in ticks])
        panel.minorticks_off()
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize="small")
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _short(number: int) -> str:
    if number >= 1_000_000:
        return f"{number // 1_000_000}M"
    return f"{number // 1000}k" if number >= 1000 else str(number)
