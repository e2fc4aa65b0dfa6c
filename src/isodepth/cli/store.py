"""`isodepth store`: what is kept, whether it is whole, and what can go."""

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isodepth.cli.options import store_option
from isodepth.cli.results import megabytes

if TYPE_CHECKING:
    from isodepth.store import Store

WIDTH_OF_FILES = 160
LEAST_WIDTH = 100
SHORT_KEY = 12


@click.group(
    "store",
    epilog="""\b
Examples:
  isodepth store ls
  isodepth store verify
  isodepth store gc
""",
)
def store_command() -> None:
    """List, check and tidy up the store of results."""


@store_command.command(
    "ls",
    epilog="""\b
Examples:
  isodepth store ls
  isodepth store ls --store ./store
""",
)
@store_option
def ls_command(store: str | None) -> None:
    """List what is kept: by stage, then one line for each artifact, and what is unfinished.

    Only manifests are read; 'isodepth store verify' reads the data too.
    """
    from isodepth.store import open_store
    from isodepth.store.housekeeping import (
        bytes_on_disk,
        entries,
        leftovers,
        things_set_aside,
        unfinished_entries,
    )

    kept = open_store(store)
    artifacts, unfinished = entries(kept), unfinished_entries(kept)
    click.echo(kept.place)
    stages = dict.fromkeys(entry.stage for entry in artifacts)
    if not artifacts and not unfinished:
        click.echo("It is empty.")
    if artifacts:
        sizes = [[entry.size_bytes for entry in artifacts if entry.stage == stage] for stage in stages]
        _print_table(
            ("stage", "artifacts", "size"),
            [
                [stage, f"{len(of_stage):,}", megabytes(sum(of_stage))]
                for stage, of_stage in zip(stages, sizes, strict=True)
            ],
        )
        _print_table(
            ("stage", "key", "model", "texts", "k", "size", "age"),
            [
                [
                    entry.stage,
                    _short(entry.key),
                    *_described(entry.manifest),
                    megabytes(entry.size_bytes),
                    _age(entry.written_at),
                ]
                for entry in artifacts
            ],
        )
    if unfinished:
        _print_table(
            ("unfinished", "key", "texts", "tokens/s", "size", "age"),
            [
                [
                    array.stage,
                    _short(array.key),
                    *_progress_of(array.progress),
                    megabytes(array.size_bytes),
                    _age(array.touched_at),
                ]
                for array in unfinished
            ],
        )
    for what, paths in (
        ("set aside, because damaged", things_set_aside(kept)),
        ("being written, or left by killed runs", leftovers(kept)),
    ):
        if paths:
            size = megabytes(sum(bytes_on_disk(path) for path in paths))
            click.echo(f"{what}: {len(paths):,}, {size}. 'isodepth store gc' removes what can go.")


@store_command.command(
    "verify",
    epilog="""\b
Examples:
  isodepth store verify
  isodepth store verify --set-aside
""",
)
@store_option
@click.option(
    "--set-aside",
    is_flag=True,
    help="Move damaged artifacts out of the way, so that the next run computes them again.",
)
def verify_command(*, store: str | None, set_aside: bool) -> None:
    """Check every file of the store against its sum; the exit status is 1 if one is damaged."""
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.store import open_store
    from isodepth.store.housekeeping import verify

    kept = open_store(store)
    with ProgressDisplay() as progress:
        found = verify(kept, set_aside=set_aside, progress=progress)
    for damage in found.damages:
        aside = "" if damage.aside is None else f"; it was moved to {damage.aside}"
        click.echo(f"damaged: {damage.what}{aside}")
    click.echo(
        f"Checked {found.n_artifacts:,} artifacts and {found.n_unfinished:,} unfinished arrays, "
        f"{megabytes(found.size_bytes)}: {_number_of_damages(len(found.damages))}."
    )
    if found.damages:
        sys.exit(1)


@store_command.command(
    "gc",
    epilog="""\b
Examples:
  isodepth store gc --dry-run
  isodepth store gc --yes
  isodepth store gc --keep-only studies/small.toml --keep-only studies/paper.toml
  isodepth store gc --copies --store s3://bucket/isodepth
""",
)
@store_option
@click.option("--dry-run", is_flag=True, help="List what can go, and remove nothing.")
@click.option("--yes", is_flag=True, help="Remove without asking.")
@click.option(
    "--keep-only",
    "studies",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="STUDY",
    help="Also all readings and matrices that this study does not need; for several studies, several "
    "times.",
)
@click.option(
    "--keep-only-imported",
    "imported_studies",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="STUDY",
    help="The same, of a study that is run with --imported.",
)
@click.option("--copies", is_flag=True, help="Also this machine's copies of what a remote store has.")
def gc_command(
    *,
    store: str | None,
    dry_run: bool,
    yes: bool,
    studies: tuple[Path, ...],
    imported_studies: tuple[Path, ...],
    copies: bool,
) -> None:
    """Remove what no run needs again; what a running process uses stays.

    That is: what killed runs left, damaged things that were set aside, unfinished arrays whose result
    is stored, that older code began or that nobody touched for 30 days, what code of older versions
    computed or was computed from, and neighbors of which the store has more. What was imported stays in
    any case.

    --keep-only is refused while a study is run with this store, on any machine: what it has just
    computed would seem needless. On a URL it can take a minute to tell.
    """
    from isodepth.stages import STAGE_VERSIONS
    from isodepth.store import open_store
    from isodepth.store.garbage import collect, garbage

    kept = open_store(store)
    needed = _needed(studies, imported_studies, kept) if studies or imported_studies else None
    found = garbage(kept, versions=STAGE_VERSIONS, needed=needed, copies=copies)
    if not found:
        click.echo("Nothing can go.")
        return
    _print_table(
        ("what", "why", "size"), [[item.what, item.why, megabytes(item.size_bytes)] for item in found]
    )
    total = megabytes(sum(item.size_bytes for item in found))
    if dry_run:
        click.echo(f"{len(found):,} can go, {total}. Nothing was removed.")
        return
    if not yes and not click.confirm(f"Remove these {len(found):,}, {total}?", err=True):
        click.echo("Nothing was removed.")
        return
    removed = collect(found)
    freed = megabytes(sum(item.size_bytes for item in removed))
    click.echo(f"Removed {len(removed):,} of {len(found):,}; {freed} freed.")


def _needed(
    studies: tuple[Path, ...], imported_studies: tuple[Path, ...], kept: "Store"
) -> set[tuple[str, str]]:
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.pipeline.needed import needed_artifacts
    from isodepth.pipeline.plan import plan_study
    from isodepth.study import load_study

    with ProgressDisplay() as progress:
        plans = [plan_study(load_study(path), kept, progress=progress) for path in studies]
        plans += [plan_study(load_study(path), kept, imported=True) for path in imported_studies]
    return needed_artifacts(plans, kept)


def _number_of_damages(number: int) -> str:
    return {0: "all are whole", 1: "1 file is damaged"}.get(number, f"{number:,} files are damaged")


def _short(key: str) -> str:
    """Return a key's first digits, with what stands behind the digest."""
    digest, _, rest = key.partition("-")
    return digest[:SHORT_KEY] + (f"-{rest[:SHORT_KEY]}" if rest else "")


def _described(manifest: dict[str, Any] | None) -> list[str]:
    """Return model, texts and k as a manifest tells them."""
    if manifest is None:
        return ["manifest damaged", "", ""]
    sides = [manifest.get(name) for name in ("left", "right")]
    if "readers" in manifest:
        model = f"{len(manifest['readers']):,} readers"
    elif all(isinstance(side, str) for side in sides):
        model = f"{sides[0]} x {sides[1]}"
    else:
        model = str(manifest.get("model", ""))
    return [model, str(manifest.get("texts", "")), str(manifest.get("k", ""))]


def _progress_of(progress: Any) -> list[str]:
    if progress is None:
        return ["damaged", ""]
    speed = "" if progress.tokens_per_second is None else f"{progress.tokens_per_second:,.0f}"
    return [f"{progress.n_done:,} of {progress.n_texts:,}", speed]


def _age(written_at: float | None) -> str:
    if written_at is None:
        return ""
    seconds = max(0.0, time.time() - written_at)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:,.0f} {unit}"
    return f"{seconds:.0f} s"


def _print_table(headings: Sequence[str], rows: list[list[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        is_number = heading in ("artifacts", "size", "age", "k", "tokens/s")
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    width = shutil.get_terminal_size((WIDTH_OF_FILES, 40)).columns
    console = Console(width=max(width, LEAST_WIDTH), highlight=False, markup=False)
    with console.capture() as printed:
        console.print(table)
    # the frame's first line is blank
    lines = [line.rstrip() for line in printed.get().rstrip().split("\n")][1:]
    click.echo("\n".join([*lines, ""]))
