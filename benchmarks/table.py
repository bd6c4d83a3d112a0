"""Writes `README.md` beside it from all of `results/`: no number in it is typed by hand."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import side_by_side

PAGE = Path(__file__).parent / "README.md"
# In the order of the page.
BENCHMARKS: Final = {
    "loading": "files to batches",
    "augmentation": "random changes of the images",
    "training": "training steps and heads",
    "scoring": "files to scores",
    "predicting": "the command predict",
}


def main() -> None:
    """Reads, writes and says where."""
    PAGE.write_text(page(side_by_side.RESULTS), encoding="utf-8")
    print(f"wrote {PAGE}")


def page(folder: Path) -> str:
    """The whole page.

    Args:
        folder: With a file of results for each of `BENCHMARKS`, as `side_by_side.write` leaves
            them; what is missing is left out, and the page says so.

    Raises:
        SystemExit: There is none at all.
    """
    reports = {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name in BENCHMARKS
        if (path := folder / f"{name}.json").exists()
    }
    if not reports:
        raise SystemExit(f"no results in {folder}: run make bench first")
    parts = [
        "# Speed, measured",
        "`make bench` wrote this page from `results/`. Seconds and images/s are medians of "
        "repeats in which the contenders took turns; times faster is their ratio.",
        *_machines(reports),
        *_left_out(set(BENCHMARKS) - set(reports)),
    ]
    rows = [row for report in reports.values() for row in report["rows"]]
    if rows:
        parts += [
            "## Against what one would use instead",
            side_by_side.markdown(side_by_side.compared(rows)),
        ]
        parts += _where(rows)
    for name, report in reports.items():
        parts += _further(name, report)
    return "\n\n".join(parts) + "\n"


def _machines(reports: Mapping[str, dict[str, Any]]) -> list[str]:
    """Each machine once, with what ran on it and how busy it was before."""
    load = "load average before"
    ran: dict[str, list[str]] = {}
    for name, report in reports.items():
        machine = {key: value for key, value in report["machine"].items() if key != load}
        before = report["machine"].get(load)
        run = f"{name} ({before[0]})" if before else name
        ran.setdefault(side_by_side.in_words(machine), []).append(run)
    return [
        f"Machine: {machine}. On it, with the load average of the minute before: "
        f"{', '.join(names)}. Each benchmark adds to that of the next."
        for machine, names in ran.items()
    ]


def _left_out(missing: set[str]) -> list[str]:
    names = [name for name in BENCHMARKS if name in missing]
    return [f"Left out, for there are no results: {', '.join(names)}."] if names else []


def _where(rows: list[dict[str, Any]]) -> list[str]:
    """Where the time goes, once for each kind of work, targets that are missed first."""
    lines: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: side_by_side.met(row) != "no"):
        if where := row.get("where the time goes"):
            missed = ""
            if side_by_side.met(row) == "no":
                missed = f" ({row['times faster']} instead of {row['target']} times as fast)"
            lines.setdefault(row["work"], f"- {row['work']}{missed}: {where}.")
    return ["Where the time goes:", "\n".join(lines.values())] if lines else []


def _further(name: str, report: Mapping[str, Any]) -> list[str]:
    """What one benchmark tells beside its rows."""
    parts = [f"## {BENCHMARKS[name].capitalize()}", f"{side_by_side.in_words(report['settings'])}."]
    parts += report.get("notes", [])
    for title, table in report.get("tables", {}).items():
        parts += [f"{title[0].upper()}{title[1:]}:", side_by_side.markdown(table)]
    return parts


if __name__ == "__main__":
    main()
