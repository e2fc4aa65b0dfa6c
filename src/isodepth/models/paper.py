"""The 24 models of Wolfram & Schein (Table 1), in the table's order, by their hub ids.

Numbers of layers are the table's; widths are those of the published configurations, which the table
does not give. A model is refused where the number of blocks found differs from the one stated here.
"""

from isodepth.models.entries import CatalogueModel, HubWeights

TUNED = True


def _family(
    author: str,
    architecture: str,
    licence: str,
    *rows: tuple[str, str, int, int] | tuple[str, str, int, int, bool],
    is_gated: bool = False,
) -> dict[str, CatalogueModel]:
    """Return models that differ in title, hub id, layers, width and tuning.

    Users call each what it is called on the hub, in small letters, without its makers' name.
    """
    models = [
        CatalogueModel(
            name=repository.split("/")[1].lower().removeprefix("meta-"),
            title=title,
            architecture=architecture,
            n_layers=n_layers,
            width=width,
            is_instruction_tuned=bool(tuned),
            author=author,
            licence=licence,
            weights=HubWeights(repository=repository, is_gated=is_gated),
        )
        for title, repository, n_layers, width, *tuned in rows
    ]
    return {model.name: model for model in models}


PAPER_MODELS: dict[str, CatalogueModel] = {
    **_family(
        *("Google", "Gemma", "Gemma terms of use"),
        ("Gemma (2B)", "google/gemma-2b", 18, 2048),
        ("Gemma (7B)", "google/gemma-7b", 28, 3072),
        is_gated=True,
    ),
    **_family(
        *("Google", "Gemma 2", "Gemma terms of use"),
        ("Gemma 2 (2B)", "google/gemma-2-2b", 26, 2304),
        ("Gemma 2 (9B)", "google/gemma-2-9b", 42, 3584),
        ("Gemma 2 IT (9B)", "google/gemma-2-9b-it", 42, 3584, TUNED),
        ("Gemma 2 (27B)", "google/gemma-2-27b", 46, 4608),
        is_gated=True,
    ),
    **_family(
        *("Meta", "Llama", "Llama 3.1 Community License"),
        ("Llama 3.1 (8B)", "meta-llama/Meta-Llama-3.1-8B", 32, 4096),
        ("Llama 3.1 IT (8B)", "meta-llama/Meta-Llama-3.1-8B-Instruct", 32, 4096, TUNED),
        is_gated=True,
    ),
    **_family(
        *("Meta", "Llama", "Llama 3.2 Community License"),
        ("Llama 3.2 (1B)", "meta-llama/Llama-3.2-1B", 16, 2048),
        ("Llama 3.2 (3B)", "meta-llama/Llama-3.2-3B", 28, 3072),
        ("Llama 3.2 IT (3B)", "meta-llama/Llama-3.2-3B-Instruct", 28, 3072, TUNED),
        is_gated=True,
    ),
    **_family(
        *("Meta", "Mllama", "Llama 3.2 Community License"),
        ("Llama 3.2 Vision (11B)", "meta-llama/Llama-3.2-11B-Vision", 40, 4096),
        is_gated=True,
    ),
    **_family(
        *("Meta", "Llama", "Llama 3.1 Community License"),
        ("Llama 3.1 (70B)", "meta-llama/Llama-3.1-70B", 80, 8192),
        ("Llama 3.1 IT (70B)", "meta-llama/Llama-3.1-70B-Instruct", 80, 8192, TUNED),
        is_gated=True,
    ),
    **_family(
        *("Meta", "Llama", "Llama 3.3 Community License"),
        ("Llama 3.3 IT (70B)", "meta-llama/Llama-3.3-70B-Instruct", 80, 8192, TUNED),
        is_gated=True,
    ),
    **_family(
        *("Mistral AI", "Mistral", "Apache-2.0"),
        ("Mistral v0.3 (7B)", "mistralai/Mistral-7B-v0.3", 32, 4096),
        ("Mistral Nemo", "mistralai/Mistral-Nemo-Base-2407", 40, 5120),
    ),
    **_family(
        *("Mistral AI", "Mixtral", "Apache-2.0"),
        ("Mixtral v0.1 (8x7B)", "mistralai/Mixtral-8x7B-v0.1", 32, 4096),
    ),
    **_family(
        *("Microsoft", "Phi-3", "MIT"),
        ("Phi 3 Mini IT", "microsoft/Phi-3-mini-4k-instruct", 32, 3072, TUNED),
        ("Phi 3 Medium IT", "microsoft/Phi-3-medium-4k-instruct", 40, 5120, TUNED),
        ("Phi 3.5 Mini IT", "microsoft/Phi-3.5-mini-instruct", 32, 3072, TUNED),
    ),
    **_family(
        *("TII", "Falcon", "Apache-2.0"),
        ("Falcon (40B)", "tiiuae/falcon-40b", 60, 8192),
    ),
    **_family(
        *("TII", "Falcon", "TII Falcon License 2.0"),
        ("Falcon (11B)", "tiiuae/falcon-11B", 60, 4096),
    ),
    **_family(
        *("TII", "Falcon-Mamba", "TII Falcon-Mamba License 2.0"),
        ("Falcon Mamba (7B)", "tiiuae/falcon-mamba-7b", 64, 4096),
    ),
}
