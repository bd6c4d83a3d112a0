"""The command `xraylib`: what the library does, from a shell."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xraylib import batch, parameters


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
    run.set_defaults(command=_run)

    made = commands.add_parser("synthetic", help="make a tree of synthetic radiographs")
    made.add_argument("folder", type=Path)
    made.add_argument("--images", type=int, default=600, help="default: %(default)s")
    made.add_argument("--size", type=int, default=512, help="short side, default: %(default)s px")
    made.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    made.add_argument("--traps", nargs="*", metavar="TRAP", help="default: all; give none for none")
    made.set_defaults(command=_synthetic)

    table = commands.add_parser("table", help="show the records in a folder, one line a run")
    table.add_argument("folder", type=Path)
    table.set_defaults(command=_table)
    return parser


def _run(asked: argparse.Namespace) -> int:
    notebooks = asked.notebooks or sorted(Path("notebooks").glob("[0-9]*.ipynb"))
    if not notebooks:
        raise batch.NotebookError(
            f"no notebooks: run this in the project's folder, or name some. Received: {Path.cwd()}"
        )
    given: dict[str, Any] = batch.read_parameters(asked.parameters) if asked.parameters else {}
    given |= {name: parameters.literal(value) for name, value in asked.p}
    done = batch.run_notebooks(notebooks, out=asked.out, given=given)
    print()
    _show(given.get("RUN_DIR", asked.out))
    print(f"\nexecuted notebooks and records: {asked.out}/")
    failed = done[done["status"] == "failed"]
    for row in failed.itertuples():
        print(f"FAILED {row.notebook}: {row.error}\n       see {row.output}", file=sys.stderr)
    return 1 if len(failed) else 0


def _synthetic(asked: argparse.Namespace) -> int:
    from xraylib.data import synthetic

    traps = synthetic.TRAPS if asked.traps is None else asked.traps
    folder = synthetic.make_tree(
        asked.folder, images=asked.images, size=asked.size, seed=asked.seed, traps=traps
    )
    print(folder)
    return 0


def _table(asked: argparse.Namespace) -> int:
    _show(asked.folder)
    return 0


def _show(folder: Path | str) -> None:
    """Prints what the runs in a folder reached; that there are none is no error."""
    from xraylib import prose, records

    try:
        table = prose.progression(records.table(folder))
    except ValueError as error:
        print(error)
    else:
        print(table.to_string(index=False))
        print("in brackets: 95 % interval over patients; one seed a row; not a medical device")
