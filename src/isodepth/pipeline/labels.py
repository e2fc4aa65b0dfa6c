"""What results call the models: names that tell all of them apart."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from isodepth.models import ModelSource


def told_apart(
    sources: Sequence[ModelSource], *, numbers: Sequence[str] | None = None
) -> tuple[ModelSource, ...]:
    """Return models under different names, unless they are the same model.

    Models of one name are told apart by the folders that hold them, or else by number.

    Parameters
    ----------
    sources : sequence of ModelSource
        The models.
    numbers : sequence of str, optional
        What stands for their numbers: ("left", "right"), say.
    """
    named = _clashing(sources)
    longer = list(sources)
    for place in named:
        source = longer[place]
        if source.location is not None:
            name = f"{source.location.parent.name}/{source.name}"
            longer[place] = replace(source, name=name)
    if not _clashing(longer):
        return tuple(longer)
    marks = numbers or [str(number) for number in range(1, len(sources) + 1)]
    clashing = _clashing(sources)
    taken = {source.name for place, source in enumerate(sources) if place not in clashing}
    names: dict[str, str] = {}
    for place in clashing:
        source = sources[place]
        name = names.get(source.digest, f"{source.name} ({marks[place]})")
        while name in taken and source.digest not in names:
            name += "'"
        names[source.digest] = name
        taken.add(name)
    return tuple(
        replace(source, name=names[source.digest]) if place in clashing else source
        for place, source in enumerate(sources)
    )


def _clashing(sources: Sequence[ModelSource]) -> list[int]:
    """Return the places of models that share their name with another model."""
    digests: dict[str, set[str]] = defaultdict(set)
    for source in sources:
        digests[source.name].add(source.digest)
    return [place for place, source in enumerate(sources) if len(digests[source.name]) > 1]
