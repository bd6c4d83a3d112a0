"""Run the library's work from a shell, as the command `xraylib`."""

import argparse
import contextlib
import importlib.metadata
import io
import json
import logging
import os
import shutil
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from xraylib import errors, names, predicting
from xraylib.data.patient_rules import AUTO, NAMES

if TYPE_CHECKING:
    import pandas as pd

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_DEFAULT = "default: %(default)s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: Those of the command line, without the program's name; None for `sys.argv`.

    Returns:
        The exit status: 0, 1 where something failed, 2 for wrong arguments, 130 for Ctrl-C.
    """
    _tolerate_surroundings()
    parser = argparse.ArgumentParser(
        prog="xraylib",
        description="Pneumonia on chest radiographs. For education; not a medical device.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_run, predicting.add, _add_synthetic, _add_audit, _add_report, _add_cache):
        add(commands)
    card = commands.add_parser("card", help="show the model card of the classifier")
    card.set_defaults(command=_card)
    folder = "a packed classifier; default: the one in the box"
    card.add_argument("--classifier", type=Path, metavar="FOLDER", help=folder)
    table = commands.add_parser("table", help="show the records in a folder, one line a run")
    table.set_defaults(command=_table)
    table.add_argument("folder", type=Path)
    options = vars(parser.parse_args(arguments))
    command = options.pop("command")  # returns its exit status, or None for 0
    try:
        return int(command(**options) or 0)
    except KeyboardInterrupt:
        print("\nstopped; what was finished is kept", file=sys.stderr)
        return 130
    except (errors.XraylibError, ValueError, OSError) as error:
        print(f"xraylib: {error}", file=sys.stderr)
        return 1


def _tolerate_surroundings() -> None:
    """Hours of work do not end at a letter that a terminal lacks, or at a library's warning."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed by the caller
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 until the process ends
            setattr(sys, name, stream)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if any(option.startswith("e") for option in sys.warnoptions):  # PYTHONWARNINGS=error
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning):
            warnings.simplefilter("ignore", category)


def _add_run(commands: _Commands) -> None:
    run = commands.add_parser("run", help="execute notebooks and show what each step reached")
    run.set_defaults(command=_run)
    run.add_argument("notebooks", nargs="*", type=Path, help="default: notebooks/[0-9]*.ipynb")
    run.add_argument("--parameters", dest="file", metavar="FILE", help="YAML file of parameters")
    pair = ("NAME", "VALUE")
    run.add_argument("-p", nargs=2, action="append", default=[], metavar=pair, help="one parameter")
    run.add_argument("--out", type=Path, default=Path("runs"), help=_DEFAULT)
    jobs = (
        "notebooks side by side; one that reads what others write, as 05 and 08, waits for all "
        "that are named before it; " + _DEFAULT
    )
    run.add_argument("--jobs", type=int, default=1, metavar="N", help=jobs)


def _run(notebooks: list[Path], file: str | None, p: list[list[str]], out: Path, jobs: int) -> int:
    from xraylib.runs import execution, parameters

    notebooks = notebooks or sorted(Path("notebooks").glob("[0-9]*.ipynb"))
    if not notebooks:
        raise errors.NotebookError(
            f"no notebooks: run this in the project's folder, or name some. Received: {Path.cwd()}"
        )
    values = parameters.read_yaml(file) if file else {}
    values |= dict(p)
    executed = execution.run_notebooks(notebooks, out=out, parameters=values, jobs=jobs)
    folder = Path(values.get("RUN_DIR", out))
    print()
    _table(folder)
    print(f"\nexecuted notebooks and records: {out}/")
    try:
        from xraylib.report import publish

        _draw_without_screen()
        print(f"all on one page: {publish.publish(folder, notebooks=out)}")
    # Hours of training do not fail for want of a page about them.
    except Exception as error:
        print(f"no report.html: {errors.one_line(error, limit=None)}", file=sys.stderr)
    failed = executed[executed["status"] == "failed"]
    for row in failed.itertuples():
        print(f"FAILED {row.notebook}: {row.error}\n       see {row.output}", file=sys.stderr)
    return 1 if len(failed) else 0


def _add_synthetic(commands: _Commands) -> None:
    synthetic = commands.add_parser("synthetic", help="make a tree of synthetic radiographs")
    synthetic.set_defaults(command=_synthetic)
    synthetic.add_argument("folder", type=Path)
    synthetic.add_argument("--images", type=int, default=600, help=_DEFAULT)
    synthetic.add_argument("--size", type=int, default=512, help=f"short side, {_DEFAULT} px")
    synthetic.add_argument("--seed", type=int, default=0, help=_DEFAULT)
    traps = "default: all; give none for none"
    synthetic.add_argument("--traps", nargs="*", metavar="TRAP", help=traps)


def _synthetic(folder: Path, images: int, size: int, seed: int, traps: list[str] | None) -> None:
    from xraylib.synthetic import dataset

    chosen = dataset.TRAPS if traps is None else traps
    print(dataset.make_tree(folder, images=images, size=size, seed=seed, traps=chosen))


def _add_audit(commands: _Commands) -> None:
    audit = commands.add_parser(
        "audit",
        help="look for what is wrong with a data set: copies, leaks, shortcuts",
        description="Looks for what is wrong with a data set of two classes: unreadable files, "
        "copies, leaks between splits, and shortcuts past the anatomy.",
        epilog="Exit status: 0 where nothing severe was found; 1 where something was, or where "
        "the audit failed, which standard error then tells; 2 for wrong arguments.",
    )
    audit.set_defaults(command=_audit)
    folder = "two folders of images, or train/ and test/ with two each"
    audit.add_argument("folder", type=Path, help=folder)
    out = "write audit.json and audit.html there"
    audit.add_argument("--out", type=Path, metavar="DIR", help=out)
    rule = (
        f"how patients are told apart: {', '.join(NAMES)}, FILE.csv:COLUMN, or a regular "
        "expression with a group; " + _DEFAULT
    )
    positive = "the folder of class 1, where none is called NORMAL or PNEUMONIA"
    audit.add_argument("--positive", default="", metavar="NAME", help=positive)
    audit.add_argument("--patients", default=AUTO, metavar="RULE", help=rule)
    audit.add_argument("--seed", type=int, default=0, help=_DEFAULT)


def _audit(folder: Path, out: Path | None, positive: str, patients: str, seed: int) -> int:
    from xraylib.audit import checks, measurements
    from xraylib.data import index
    from xraylib.report import audit_page

    with _quiet("xraylib.data.index"):  # what was passed over is a finding
        table = index.from_class_folders(folder, positive=positive, patients=patients)
    if out:
        _make_writable(out)
    measured = measurements.measure(table)
    findings = checks.findings(measured, seed=seed).sort_values(
        "severity", key=lambda column: column.map(list(audit_page.MARKS).index), kind="stable"
    )
    classes = [n if n.isprintable() else ascii(n) for n in measured.attrs["classes"]]
    print(f"class 0 is {classes[0]}, class 1 is {classes[1]}\n")
    _print_findings(findings)
    print(f"{audit_page.verdict(findings)}, in {len(measured):,} images; not a medical device")
    if out:
        _write_audit(out, folder.resolve().name, measured, findings, seed)
        print(f"{out / 'audit.html'}\n{out / 'audit.json'}")
    return int((findings["severity"] == "severe").any())


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Lets a logger say errors only."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _print_findings(findings: "pd.DataFrame") -> None:
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
            # A name may hold what a terminal obeys or cannot show.
            print(fill(f"e.g. {', '.join(map(names.shown, row['examples']))}"))
        print(fill(f"compared: {row['compared']}"))
        print()


def _write_audit(
    out: Path, name: str, measured: "pd.DataFrame", findings: "pd.DataFrame", seed: int
) -> None:
    from xraylib.report import audit_page, html, plots

    _draw_without_screen()
    classes = measured.drop_duplicates("label").sort_values("label")["class"].tolist()
    properties = plots.properties(measured, class_names=classes)
    page = audit_page.audit(
        f"Audit of {name}", findings=findings, measured=measured, properties=properties
    )
    counts = measured.groupby(["split", "class"], sort=False).size().reset_index(name="images")
    report = {
        "xraylib": importlib.metadata.version("xraylib"),
        "folder": name,
        "seed": seed,
        "classes": measured.attrs["classes"],
        "passed_over": measured.attrs["passed_over"],
        "verdict": audit_page.verdict(findings),
        "counts": counts.to_dict("records"),
        "findings": findings.to_dict("records"),
    }
    html.write(out / "audit.json", json.dumps(report, indent=1, allow_nan=False) + "\n")
    html.write(out / "audit.html", page)


def _table(folder: Path) -> None:
    """Prints what the runs in a folder reached; that there are none is not an error."""
    from xraylib.data import patients
    from xraylib.report import tables
    from xraylib.runs import records

    try:
        runs, problems = records.read(folder)
    except ValueError as error:
        print(error)
    else:
        for problem in problems.itertuples():
            print(f"{problem.run} left out: {problem.reason}", file=sys.stderr)
        print(tables.runs(runs).to_string(index=False))
        unit = patients.unit_of([record.patients for record in runs])
        print(f"in brackets: 95 % interval over {unit}; one seed a row; not a medical device")


def _card(classifier: Path | None) -> None:
    from xraylib.report import card

    print(card.read(classifier), end="")


def _add_report(commands: _Commands) -> None:
    report = commands.add_parser(
        "report", help="write one page, with its figures inside, of the records in a folder"
    )
    report.set_defaults(command=_report)
    report.add_argument("folder", type=Path, help="of records; executed notebooks are shown, too")
    out = "default: report.html in the folder"
    report.add_argument("--out", type=Path, metavar="FILE", help=out)
    share = "of pneumonia among those X-rayed, for predictive values; " + _DEFAULT
    report.add_argument("--prevalence", type=float, default=0.3, metavar="SHARE", help=share)


def _report(folder: Path, out: Path | None, prevalence: float) -> None:
    from xraylib.report import publish

    if folder.is_dir():
        _make_writable(out.parent if out else folder)
    _draw_without_screen()
    print(publish.publish(folder, out=out, prevalence=prevalence))


def _add_cache(commands: _Commands) -> None:
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
    prune.set_defaults(command=_prune)
    prune.add_argument("--to", metavar="SIZE", default="0", help="keep so much, e.g. 5GB")
    everything = "also data sets, with what was put there by hand"
    prune.add_argument("--all", dest="everything", action="store_true", help=everything)


def _cache() -> None:
    from xraylib import cache, pruning

    entries = pruning.entries()
    _print_entries(entries)
    print(f"{entries['bytes'].sum() / 1e6:,.1f} MB in {cache.cache_folder()}")


def _prune(to: str, everything: bool) -> None:
    from xraylib import pruning

    removed = pruning.prune(pruning.parse_size(to), everything=everything)
    _print_entries(removed)
    left = pruning.entries()["bytes"].sum()
    print(f"removed {removed['bytes'].sum() / 1e6:,.1f} MB, {left / 1e6:,.1f} MB are left")


def _print_entries(entries: "pd.DataFrame") -> None:
    for row in entries.itertuples():
        state = f" ({row.state})" if row.state else ""
        used = row.used.to_pydatetime().astimezone()
        print(f"{row.bytes / 1e6:>10,.1f} MB  {used:%Y-%m-%d %H:%M}  {row.name}  {row.what}{state}")


def _make_writable(folder: Path) -> None:
    """Makes a folder and tries to write there, before the work whose result it is for."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(
            f"cannot write to the folder ({error.strerror}): give another --out. "
            f"Received: {str(folder)!r}"
        ) from None


def _draw_without_screen() -> None:
    import matplotlib

    matplotlib.use("Agg")
