"""`isodepth run` and `isodepth status`: a study, run until it is done."""

import hashlib
import logging
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isodepth.cli.options import store_option
from isodepth.cli.run_log import LOG, logging_to

if TYPE_CHECKING:
    from isodepth.pipeline.planned import StudyPlan
    from isodepth.store import Store
    from isodepth.study import Study

logger = logging.getLogger("isodepth.run")
study_argument = click.argument("study", type=click.Path(path_type=Path))
imported_option = click.option(
    "--imported", is_flag=True, help="Take readings that were imported, and run no model."
)


@click.command(
    "run",
    epilog="""\b
Examples:
  isodepth run studies/small.toml
  isodepth run studies/small.toml --plan
  isodepth run studies/paper.toml --engine ray --ray-address auto --store s3://bucket/isodepth
  isodepth run studies/paper.toml --imported
""",
)
@study_argument
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the results. Default: results/NAME, by the study's name.",
)
@store_option
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where tasks run: in this process, or on a Ray cluster.",
)
@click.option("--ray-address", help="Address of the cluster; else $RAY_ADDRESS, or one started here.")
@imported_option
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be done, and stop.")
def run_command(
    study: Path,
    *,
    out: Path | None,
    store: str | None,
    engine: str,
    ray_address: str | None,
    imported: bool,
    only_plan: bool,
) -> None:
    """Run a study: many models, many text sets, all pairs of layers.

    STUDY is a study file (.toml); docs/studies.md describes it. First the plan is shown, then only what
    is missing is computed. What was finished is kept whatever happens: run the same command again to go
    on. Results go to a folder that isodepth.load_results reads; how far it is tells 'isodepth status'.
    """
    from isodepth.atomic import refuse_unwritable
    from isodepth.errors import ParameterError
    from isodepth.results import refuse_other_results
    from isodepth.store import open_store
    from isodepth.study import load_study

    if ray_address is not None and engine != "ray":
        raise ParameterError("--ray-address belongs to --engine ray")
    loaded = load_study(study)
    kept = open_store(store)
    folder = results_folder(loaded.name) if out is None else out
    refuse_unwritable(folder)  # before the work, not after it
    refuse_other_results(folder, loaded.name)
    is_local = engine == "local"
    if only_plan:
        _shown_plan(loaded, kept, imported=imported, measures_speed=is_local)
        return
    with logging_to(folder / LOG) as begin_log:
        plan = _shown_plan(loaded, kept, imported=imported, measures_speed=is_local)
        _log_plan(plan)
        begin_log()
        is_whole = _run(plan, kept, folder, engine=engine, ray_address=ray_address)
    if not is_whole:
        click.get_current_context().exit(1)


def _shown_plan(study: "Study", store: "Store", *, imported: bool, measures_speed: bool) -> "StudyPlan":
    """Return the plan of a study after showing it."""
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.cli.study_tables import missing_lines, plan_lines, state_table
    from isodepth.pipeline.plan import plan_study

    with ProgressDisplay() as loading:
        plan = plan_study(
            study, store, imported=imported, measures_speed=measures_speed, progress=loading
        )
    for line in plan_lines(plan):
        click.echo(line)
    if plan.readings and len(plan.with_state("done")) < len(plan.readings):
        click.echo()
        click.echo("\n".join(state_table(plan)))
    for line in missing_lines([(one.what, one.reason, one.hint) for one in plan.missing]):
        click.echo(line, err=True)
    _tell_notices(plan)
    return plan


def _log_plan(plan: "StudyPlan") -> None:
    from isodepth.cli.study_tables import missing_lines, plan_lines

    for line in plan_lines(plan):
        logger.info("%s", line)
    for line in missing_lines([(one.what, one.reason, one.hint) for one in plan.missing]):
        logger.warning("%s", line)


def _run(
    plan: "StudyPlan", store: "Store", folder: Path, *, engine: str, ray_address: str | None
) -> bool:
    """Run a plan and show what comes out; return whether nothing that the study wants is missing."""
    from isodepth.cli.study_display import StudyDisplay
    from isodepth.cli.study_tables import missing_lines, results_lines
    from isodepth.engines import ENGINES
    from isodepth.errors import counted
    from isodepth.pipeline.run import run_study

    with StudyDisplay() as display:
        results = run_study(
            plan,
            folder,
            store=store,
            engine=ENGINES[engine](ray_address),
            progress=display,
            report=display.ended,
        )
    for line in results_lines(results):
        click.echo(line)
    click.echo()
    click.echo(f"For a page that shows them: isodepth report {shlex.quote(str(folder))}")
    click.echo(f"Results: {folder} (isodepth.load_results reads them); log: {folder / LOG}")
    told = {(one.what, one.reason) for one in plan.missing}
    failed = [
        (one["what"], one["reason"], None)
        for one in results.missing
        if (one["what"], one["reason"]) not in told
    ]
    for line in missing_lines(failed):
        click.echo(line, err=True)
    if results.missing:
        click.echo(
            f"{counted(len(results.missing), 'thing')} that the study wants could not be had; the "
            "results say so. Once the reasons are gone, the same command adds what is missing.",
            err=True,
        )
    return not results.missing


@click.command(
    "status",
    epilog="""\b
Example:
  isodepth status studies/small.toml
""",
)
@study_argument
@store_option
@imported_option
def status_command(study: Path, *, store: str | None, imported: bool) -> None:
    """Tell how far a study is, while it runs or later.

    'now' is what a run is at at this moment, a percentage alone what one has begun and left.
    """
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.cli.study_tables import duration, missing_lines, plan_lines, state_table
    from isodepth.pipeline.plan import plan_study
    from isodepth.store import open_store
    from isodepth.study import load_study

    kept = open_store(store)
    with ProgressDisplay() as loading:
        plan = plan_study(load_study(study), kept, imported=imported, progress=loading)
    for line in plan_lines(plan):
        click.echo(line)
    if plan.readings:
        click.echo()
        click.echo("\n".join(state_table(plan)))
    for planned in plan.with_state("running", "begun"):
        so_far = planned.so_far
        if so_far is None:
            click.echo(f"{planned.label}: preparing")
            continue
        parts = [f"{so_far.n_done:,} of {so_far.n_texts:,} texts"]
        if planned.state == "running" and so_far.tokens_per_second:
            left = (1 - planned.share_done) * planned.n_tokens / so_far.tokens_per_second
            parts += [f"{so_far.tokens_per_second:,.0f} tokens/s", f"about {duration(left)} left"]
        if so_far.n_done == so_far.n_texts:
            parts.append("their neighbors are to be found")
        elif planned.state == "begun":
            parts.append("no run is at it")
        click.echo(f"{planned.label}: {', '.join(parts)}")
    for line in missing_lines([(one.what, one.reason, one.hint) for one in plan.missing]):
        click.echo(line, err=True)


def results_folder(name: str) -> Path:
    """Return the folder that the results of a study of this name go to by default."""
    letters = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")
    if letters != name:  # other names give the same letters
        letters = f"{letters or 'study'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return Path("results") / letters


def _tell_notices(plan: "StudyPlan") -> None:
    """Say what makers of models want said before their models are fetched."""
    sources = [planned.reading.source for planned in plan.with_state("to do", "begun")]
    entries = [source.entry for source in sources if source.entry is not None]
    notices = [entry.notice for entry in entries if entry.notice and not entry.weights.is_here]
    for notice in dict.fromkeys(notices):
        click.echo(f"note: {notice}", err=True)
