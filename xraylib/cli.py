"""The command `xraylib`: what the library does, from a shell."""

import argparse
import importlib.metadata
import json
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from xraylib import errors
from xraylib.runs import execution, parameters


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: Of the command line, without the program's name; None for `sys.argv`.

    Returns:
        The exit status: 0, 1 where something failed, 2 for wrong arguments, 130 for Ctrl-C.
    """
    asked = _parser().parse_args(arguments)
    try:
        return asked.command(asked)
    except KeyboardInterrupt:
        print("\nstopped; what was finished is kept", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"xraylib: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xraylib",
        description="Pneumonia on chest radiographs. For education; not a medical device.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="execute notebooks and show what each step reached")
    run.add_argument("notebooks", nargs="*", type=Path, help="default: notebooks/[0-9]*.ipynb")
    run.add_argument("--parameters", metavar="FILE", help="YAML file of parameters")
    run.add_argument(
        "-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="one parameter"
    )
    run.add_argument("--out", type=Path, default=Path("runs"), help="default: %(default)s")
    run.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="notebooks side by side; the last one named, as 05, waits for the others; "
        "default: %(default)s",
    )
    run.set_defaults(command=_run)

    made = commands.add_parser("synthetic", help="make a tree of synthetic radiographs")
    made.add_argument("folder", type=Path)
    made.add_argument("--images", type=int, default=600, help="default: %(default)s")
    made.add_argument("--size", type=int, default=512, help="short side, default: %(default)s px")
    made.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    made.add_argument("--traps", nargs="*", metavar="TRAP", help="default: all; give none for none")
    made.set_defaults(command=_synthetic)

    audit = commands.add_parser(
        "audit",
        help="look for what is wrong with a data set: copies, leaks, shortcuts",
        description="Looks for what is wrong with a data set of two classes: unreadable files, "
        "copies, leaks between splits, and shortcuts past the anatomy.",
        epilog="Exit status: 0 where nothing severe was found; 1 where something was, or where "
        "the audit failed, which standard error then tells; 2 for wrong arguments.",
    )
    audit.add_argument(
        "folder", type=Path, help="two folders of images, or train/ and test/ with two each"
    )
    audit.add_argument(
        "--out", type=Path, metavar="DIR", help="write audit.json and audit.html there"
    )
    audit.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    audit.set_defaults(command=_audit)

    table = commands.add_parser("table", help="show the records in a folder, one line a run")
    table.add_argument("folder", type=Path)
    table.set_defaults(command=_table)

    report = commands.add_parser(
        "report", help="write one page, with its figures inside, of the records in a folder"
    )
    report.add_argument("folder", type=Path, help="of records; executed notebooks are shown, too")
    report.add_argument(
        "--out", type=Path, metavar="FILE", help="default: report.html in the folder"
    )
    report.add_argument(
        "--prevalence",
        type=_share,
        default=0.3,
        metavar="SHARE",
        help="of pneumonia among those X-rayed, for predictive values; default: %(default)s",
    )
    report.set_defaults(command=_report)

    cache = commands.add_parser(
        "cache",
        help="list what is kept for later runs, with sizes, or remove some of it",
        description="Lists what is kept for later runs, the last used first.",
    )
    cache.set_defaults(command=_cache)
    prune = cache.add_subparsers(metavar="COMMAND").add_parser(
        "prune",
        help="remove what was not used for the longest time",
        description="Removes what was not used for the longest time, but nothing in use.",
    )
    prune.add_argument("--to", metavar="SIZE", default="0", help="keep so much, e.g. 5GB")
    prune.add_argument(
        "--all", action="store_true", help="also data sets, with what was put there by hand"
    )
    prune.set_defaults(command=_prune)
    return parser


def _run(asked: argparse.Namespace) -> int:
    notebooks = asked.notebooks or sorted(Path("notebooks").glob("[0-9]*.ipynb"))
    if not notebooks:
        raise errors.NotebookError(
            f"no notebooks: run this in the project's folder, or name some. Received: {Path.cwd()}"
        )
    given: dict[str, Any] = parameters.read_yaml(asked.parameters) if asked.parameters else {}
    given |= {name: parameters.literal(value) for name, value in asked.p}
    done = execution.run_notebooks(notebooks, out=asked.out, parameters=given, jobs=asked.jobs)
    print()
    folder = Path(given.get("RUN_DIR", asked.out))
    _show(folder)
    print(f"\nexecuted notebooks and records: {asked.out}/")
    try:
        print(f"all on one page: {_publish(folder, notebooks=asked.out)}")
    # Hours of training do not fail for want of a page about them.
    except Exception as error:
        print(f"no report.html: {' '.join(str(error).split())}", file=sys.stderr)
    failed = done[done["status"] == "failed"]
    for row in failed.itertuples():
        print(f"FAILED {row.notebook}: {row.error}\n       see {row.output}", file=sys.stderr)
    return 1 if len(failed) else 0


def _synthetic(asked: argparse.Namespace) -> int:
    from xraylib.synthetic import dataset

    traps = dataset.TRAPS if asked.traps is None else asked.traps
    folder = dataset.make_tree(
        asked.folder, images=asked.images, size=asked.size, seed=asked.seed, traps=traps
    )
    print(folder)
    return 0


def _audit(asked: argparse.Namespace) -> int:
    from xraylib.audit import checks, measurements
    from xraylib.data import index
    from xraylib.report import audit_page

    table = index.from_class_folders(asked.folder)
    if asked.out:
        _make_writable(asked.out)
    measured = measurements.measure(table)
    findings = checks.findings(measured, seed=asked.seed).sort_values(
        "severity", key=lambda column: column.map(list(audit_page.MARKS).index), kind="stable"
    )
    _show_findings(findings)
    print(f"{audit_page.verdict(findings)}, in {len(measured):,} images; not a medical device")
    if asked.out:
        _write_audit(asked, measured=measured, findings=findings)
        print(f"{asked.out / 'audit.html'}\n{asked.out / 'audit.json'}")
    return int((findings["severity"] == "severe").any())


def _table(asked: argparse.Namespace) -> int:
    _show(asked.folder)
    return 0


def _report(asked: argparse.Namespace) -> int:
    if asked.folder.is_dir():
        _make_writable(asked.out.parent if asked.out else asked.folder)
    print(_publish(asked.folder, out=asked.out, prevalence=asked.prevalence))
    return 0


def _publish(folder: Path, **how: Any) -> Path:
    import matplotlib

    matplotlib.use("Agg")
    from xraylib.report import publish

    return publish.publish(folder, **how)


def _share(words: str) -> float:
    try:
        share = float(words)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"give a number above 0 and below 1. Received: {words!r}")
    return share


def _cache(asked: argparse.Namespace) -> int:
    from xraylib import cache

    entries = cache.entries()
    _show_entries(entries)
    print(f"{entries['bytes'].sum() / 1e6:,.1f} MB in {cache.cache_folder()}")
    return 0


def _prune(asked: argparse.Namespace) -> int:
    from xraylib import cache

    removed = cache.prune(cache.parse_size(asked.to), everything=asked.all)
    _show_entries(removed)
    left = cache.entries()["bytes"].sum()
    print(f"removed {removed['bytes'].sum() / 1e6:,.1f} MB, {left / 1e6:,.1f} MB are left")
    return 0


def _show_entries(entries: pd.DataFrame) -> None:
    for row in entries.itertuples():
        state = f" ({row.state})" if row.state else ""
        used = row.used.to_pydatetime().astimezone()
        print(f"{row.bytes / 1e6:>10,.1f} MB  {used:%Y-%m-%d %H:%M}  {row.name}  {row.what}{state}")


def _show(folder: Path | str) -> None:
    """Prints what the runs in a folder reached; that there are none is no error."""
    from xraylib.report import tables
    from xraylib.runs import records

    try:
        table = tables.progression(records.table(folder))
    except ValueError as error:
        print(error)
    else:
        print(table.to_string(index=False))
        print("in brackets: 95 % interval over patients; one seed a row; not a medical device")


def _make_writable(folder: Path) -> None:
    """Makes a folder and tries to write there, before the work whose result it is for."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot write to the folder ({error.strerror}): give another --out. "
            f"Received: {str(folder)!r}",
        ) from None


def _show_findings(findings: pd.DataFrame) -> None:
    fill = textwrap.TextWrapper(
        width=max(40, min(100, shutil.get_terminal_size().columns)),
        initial_indent="  ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    ).fill
    for row in findings.to_dict("records"):
        print(f"{row['severity'].upper():<8} {row['check']} ({row['count']:,})")
        print(fill(row["meaning"]))
        if row["examples"]:
            # What a terminal would obey or cannot show.
            names = [name if name.isprintable() else ascii(name) for name in row["examples"]]
            print(fill(f"e.g. {', '.join(names)}"))
        print()


def _write_audit(
    asked: argparse.Namespace, *, measured: pd.DataFrame, findings: pd.DataFrame
) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from xraylib.report import audit_page, html, plots

    classes = measured.drop_duplicates("label").sort_values("label")["class"].tolist()
    page = audit_page.audit(
        f"Audit of {asked.folder.resolve().name}",
        findings=findings,
        measured=measured,
        properties=plots.properties(measured, class_names=classes),
    )
    counts = measured.groupby(["split", "class"], sort=False).size().reset_index(name="images")
    told = {
        "xraylib": importlib.metadata.version("xraylib"),
        "folder": asked.folder.resolve().name,
        "seed": asked.seed,
        "verdict": audit_page.verdict(findings),
        "counts": counts.to_dict("records"),
        "findings": json.loads(findings.to_json(orient="records")),
    }
    html.write(asked.out / "audit.json", json.dumps(told, indent=1, allow_nan=False) + "\n")
    html.write(asked.out / "audit.html", page)
