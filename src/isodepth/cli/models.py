"""`isodepth models`: which models there are by name."""

import click

from isodepth.cli.models_show import show_command
from isodepth.cli.results import megabytes


@click.group(
    "models",
    invoke_without_command=True,
    epilog="""\b
Examples:
  isodepth models
  isodepth models show gemma-2-9b
  isodepth models show ./my-model
""",
)
@click.pass_context
def models_command(context: click.Context) -> None:
    """List the models of the catalogue: the offline ones, and the paper's 24.

    Hub ids, local transformers folders, GGUF files and PEFT adapters work everywhere a name does.
    """
    if context.invoked_subcommand is not None:
        return
    from isodepth.models import MODEL_GROUPS, MODELS, GgufWeights
    from isodepth.models.description import standing_of

    titles = {
        "offline": "need no hub",
        "paper": "Wolfram & Schein's 24, from the hub ('paper' stands for all of them, "
        "'paper-tuned' for those marked instruct)",
    }
    width = max(map(len, MODELS))
    for group, title in titles.items():
        click.echo(f"{group}: {title}")
        for name in MODEL_GROUPS[group]:
            model = MODELS[name]
            tuned = "instruct" if model.is_instruction_tuned else "base"
            click.echo(
                f"  {name:<{width}}  {model.n_layers:>3} layers x {model.width:>5,} units  "
                f"{model.architecture:<12}  {tuned:<8}  {standing_of(model.weights)}"
            )
            if isinstance(model.weights, GgufWeights):
                click.echo(f"  {'':<{width}}  {megabytes(model.weights.download_bytes)} to download")
        click.echo()
    click.echo("'isodepth models show NAME' tells source, licence and configuration.")


models_command.add_command(show_command)
