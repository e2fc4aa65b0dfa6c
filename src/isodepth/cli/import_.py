"""`isodepth import`: neighbors, activations and matrices that were made elsewhere."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isodepth.cli.options import reading_options, sampling_options, store_option, text_options
from isodepth.defaults import KEPT_NEIGHBORS

if TYPE_CHECKING:
    from isodepth.interchange import Arrival
    from isodepth.store import Store

TABLES = (".csv", ".parquet")


@click.group(
    "import",
    epilog="""\b
Examples:
  isodepth import neighbors published/
  isodepth import bundle bundles/*.safetensors
""",
)
def import_command() -> None:
    """Bring in what was made elsewhere: neighbors, activations, matrices, neighbor bundles.

    Neighbors, activations and bundles become readings in the store. 'isodepth run STUDY --imported'
    takes these and no others: a study takes either imported readings or those of models that it runs.
    In a study a reading is named as a model that is run here, or "imported(NAME)", NAME being what the
    import calls model or texts. To bring your own readings beside imported ones, write them with
    'isodepth export neighbors' and read them with 'isodepth import bundle'.

    Matrices become a folder of results.
    """


def _store_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of imports into the store."""
    for option in (
        click.option(
            "--replace",
            "replaces",
            is_flag=True,
            help="Let it take the place of other neighbors of the same model on the same texts.",
        ),
        store_option,
    ):
        command = option(command)
    return command


_keep_option = click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=KEPT_NEIGHBORS,
    show_default=True,
    help="Neighbors per text that are kept, if there are as many.",
)


@import_command.command(
    "neighbors",
    epilog="""\b
Examples:
  isodepth import neighbors google__gemma-2-9b---web_text.parquet
  isodepth import neighbors published/ --keep 1000
""",
)
@click.argument("places", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--texts", help="What the text set is called. Default: as the file's name says.")
@click.option("--model", help="What the model is called. Default: as the file's name says.")
@click.option(
    "--chat/--no-chat",
    default=None,
    help="Whether texts stood in the chat template. Default: as the file's name says.",
)
@_keep_option
@_store_options
def neighbors_command(
    places: tuple[Path, ...],
    *,
    texts: str | None,
    model: str | None,
    chat: bool | None,
    keep: int,
    store: str | None,
    replaces: bool,
) -> None:
    """Import the neighbor sets that the paper's authors published, or others of that form.

    PLACES are Parquet files OWNER__MODEL---SET.parquet or OWNER__MODEL---chat---SET.parquet, or folders
    of them, also as the hub has them. Each has the columns text, knn (per text: layers, each a list of
    neighbor rows, layer 0 the embedding) and at_max_length; see docs/interchange.md.
    """
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.interchange import keep_reading, published_files, read_published_neighbors

    kept = _opened(store)
    with ProgressDisplay() as progress:

        def imported(file: Any) -> "Arrival":
            reading = read_published_neighbors(
                file, model=model, texts=texts, chat=chat, keep=keep, progress=progress
            )
            return keep_reading(reading, kept, replaces=replaces)

        files = published_files(places)
        _each([(file.name, file) for file in files], imported)


@import_command.command(
    "activations",
    epilog="""\b
Examples:
  isodepth import activations states.npy --texts reviews.csv --column review --model my-model
  isodepth import activations states.safetensors --tensor hidden --texts news -n 512 --model gemma-2-9b
""",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--texts", required=True, help="The very texts, in order, as 'compare' takes them.")
@text_options
@sampling_options(n="all")
@click.option("--model", required=True, help="What the model is called: a name or a hub id.")
@click.option("--chat", is_flag=True, help="The texts stood in the model's chat template.")
@reading_options
@click.option("--tensor", help="Name of the array in a .safetensors file that has several.")
@click.option("--has-embedding", is_flag=True, help="The first layer is the embedding: drop it.")
@_keep_option
@_store_options
def activations_command(
    file: Path,
    *,
    texts: str,
    model: str,
    chat: bool,
    capture: str,
    pooling: str,
    max_tokens: int | None,
    tensor: str | None,
    has_embedding: bool,
    keep: int,
    store: str | None,
    replaces: bool,
    **sampling: Any,
) -> None:
    """Find neighbors by activations from FILE and keep them as a reading.

    FILE is a .npy file with an array (layers, texts, units), or a .safetensors file with one such array
    or with one array (texts, units) a layer. What it says of capture, pooling and chat is not in the
    file: the options say it.
    """
    from isodepth.activations import ExtractionOptions
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.interchange import keep_reading, layer_file, read_foreign_activations
    from isodepth.texts import load_texts

    options = ExtractionOptions(capture=capture, pooling=pooling, max_tokens=max_tokens, chat=chat)
    layers = layer_file(file, tensor)
    kept = _opened(store)
    with ProgressDisplay() as progress:
        read = load_texts(texts, progress=progress, **sampling)
        reading = read_foreign_activations(
            layers,
            read,
            model=model,
            options=options,
            has_embedding=has_embedding,
            keep=keep,
            progress=progress,
        )
        arrival = keep_reading(reading, kept, replaces=replaces)
    _tell(arrival)
    _tell_of_studies([arrival])


@import_command.command(
    "bundle",
    epilog="""\b
Examples:
  isodepth import bundle bundles/*.safetensors
  isodepth import bundle step2000.safetensors --model "pythia-70m at step 2000"
""",
)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--model", help="What the model of a single file is called. Default: as the file says.")
@click.option("--texts", help="What the text set is called. Default: as the files say.")
@_store_options
def bundle_command(
    files: tuple[Path, ...],
    *,
    model: str | None,
    texts: str | None,
    store: str | None,
    replaces: bool,
) -> None:
    """Import neighbor bundles, which 'isodepth export neighbors' writes.

    Of two bundles of one model, at two revisions say, one needs a name of its own: --model.
    """
    from isodepth.errors import ParameterError
    from isodepth.interchange import keep_reading, read_bundle

    if model is not None and len(files) > 1:
        raise ParameterError(
            f"--model names the model of one file; got {len(files)} files",
            hint="import files that need another name one by one.",
        )
    kept = _opened(store)
    _each(
        [(str(file), file) for file in files],
        lambda file: keep_reading(read_bundle(file, model=model, texts=texts), kept, replaces=replaces),
    )


@import_command.command(
    "matrices",
    epilog="""\b
Examples:
  isodepth import matrices web_text_k10.npz --n-texts 2048 -k 10 --out published
  isodepth import matrices similarities.csv --n-texts 512 -k 10 --out results
""",
)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--texts", help="What the text set is called. Default: as the file says.")
@click.option(
    "--n-texts", type=click.IntRange(min=2), help="How many texts. Default: as the file says."
)
@click.option(
    "-k", "k", type=click.IntRange(min=1), help="Neighbors per text. Default: as the file says."
)
@click.option("--measure", help="Measure, of a table without that column. Default: mutual_knn.")
@click.option("--capture", help="Capture, of a table without that column. Default: block.")
@click.option("--pooling", help="Pooling, of a table without that column. Default: last.")
@click.option("--with-embedding", is_flag=True, help="Keep the embedding of .npz files, as layer 1.")
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the results.",
)
@click.option("--replace", "replaces", is_flag=True, help="Replace results that the folder holds.")
def matrices_command(
    files: tuple[Path, ...],
    *,
    texts: str | None,
    n_texts: int | None,
    k: int | None,
    with_embedding: bool,
    out: Path,
    replaces: bool,
    **said: str | None,
) -> None:
    """Make results of matrices: the authors' published counts, or a table of similarities.

    FILES are .npz files with an array of counts for every pair of models, or .csv and .parquet tables
    with the columns left, right, left_layer, right_layer and similarity, as 'isodepth export' writes
    them. All of FILES become one folder of results; a folder that holds results already is refused.
    """
    from isodepth.errors import ParameterError
    from isodepth.interchange import (
        FoundMatrices,
        imported_results,
        read_published_matrices,
        read_similarity_table,
    )
    from isodepth.results.files import MANIFEST

    if not replaces and (out / MANIFEST).exists():
        raise ParameterError(
            f"{out} holds results already, which these would replace",
            hint="give all files in one command, or another folder, or --replace.",
        )
    found: list[FoundMatrices] = []
    for file in files:
        if file.suffix in TABLES:
            found += read_similarity_table(file, texts=texts, n_texts=n_texts, k=k, **said)
        else:
            found.append(
                read_published_matrices(
                    file, texts=texts, n_texts=n_texts, k=k, with_embedding=with_embedding
                )
            )
    results = imported_results(found, name=out.resolve().name)
    results.write(out)
    for one in found:
        readers = len(set(one.matrices.left) | set(one.matrices.right))
        click.echo(
            f"{one.texts}, {one.kind}: {readers} models, {one.matrices.n_texts:,} texts, "
            f"(layers, layers) = {one.matrices.values.shape}"
        )
    click.echo(f"Wrote {out}")


def _opened(place: str | None) -> "Store":
    from isodepth.store import open_store

    return open_store(place)


def _each(named: Sequence[tuple[str, Any]], imported: Callable[[Any], "Arrival"]) -> None:
    """Import one after the other; what fails is told at once, and does not keep the others out."""
    from isodepth.errors import IsodepthError, ParameterError, counted, listed

    failed: list[str] = []
    arrivals: list[Arrival] = []
    for name, file in named:
        try:
            arrivals.append(imported(file))
            _tell(arrivals[-1])
        except IsodepthError as error:
            if len(named) == 1:
                raise
            click.echo(f"error: {error.message}", err=True)
            if error.hint:
                click.echo(f"hint: {error.hint}", err=True)
            failed.append(name)
    if arrivals:
        _tell_of_studies(arrivals)
    if failed:
        raise ParameterError(f"{len(failed)} of {counted(len(named), 'file')} failed: {listed(failed)}")


def _tell(arrival: "Arrival") -> None:
    from isodepth.interchange import STANDINGS

    reading = arrival.reading
    click.echo(
        f"{reading.label}: {reading.n_layers} layers, {reading.n_texts:,} texts, {reading.k:,} "
        f"neighbors, capture {reading.options.capture}, pooling {reading.options.pooling}; "
        f"{STANDINGS[arrival.standing]}."
    )
    for note in arrival.notes:
        click.echo(f"note: {note}")


def _tell_of_studies(arrivals: "Sequence[Arrival]") -> None:
    """Say how a study takes what was imported, by what it would say of the first reading."""
    reading = arrivals[0].reading
    options = reading.options
    models, texts = [f"imported({reading.model})"], [f"imported({reading.texts})"]
    keys: dict[str, object] = {"models": models, "texts": texts}
    if options.chat:
        keys["also_as_chat"] = models
    if options.capture != "block":
        keys["captures"] = [options.capture]
    if options.pooling != "last":
        keys["poolings"] = [options.pooling]
    if options.max_tokens is not None:
        keys["max_tokens"] = options.max_tokens
    said = ", ".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items())
    click.echo(
        "note: 'isodepth run STUDY --imported' takes imported readings, and runs no model. In a study: "
        f"{said}{' (the first of them)' if len(arrivals) > 1 else ''}."
    )
