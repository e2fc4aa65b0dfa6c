"""Under which names may the models and text sets of a study have been imported?

A reading is what it is called. One written imported(NAME) is the one of that name and no other. Any
other is, first, what a run by the model would call it, with the number format of ``[loading]``; then
the same without that format, as published readings are called; a hub model goes by its name in the
catalogue too. So a reading with an adapter or in another number format, which its name says, never
stands for the plain model, nor the plain model for it. A revision stands in no name that a run gives,
so it must be that of the weights, where the import says which these are.

>>> wanted_models(study, [])["gemma-2b"].names                                    # doctest: +SKIP
('gemma-2b (bfloat16)', 'gemma-2b', 'google/gemma-2b (bfloat16)', 'google/gemma-2b')

Memory: names.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from isodepth.interchange import ImportedReading, catalogue_model, shared_texts_name
from isodepth.models import MODELS, ModelSource
from isodepth.models.names import ModelName, model_name
from isodepth.models.resolution import unread_model
from isodepth.notation import imported_name
from isodepth.pipeline.labels import told_apart
from isodepth.pipeline.plan import attempted
from isodepth.pipeline.planned import Missing
from isodepth.sources import existing_path
from isodepth.study import Study, StudyTexts
from isodepth.texts import TEXT_SETS

LEAST_COMMIT = 7
"""So many digits of a commit are taken to identify it, as git shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedModel:
    """A model of a study, as its readings may be called.

    Parameters
    ----------
    label : str
        What results call it.
    names : tuple of str
        Best first: a reading of a later name is taken where there is none of an earlier one.
    repository : str or None
        Its hub id.
    revision : str or None
        At what revision it is wanted.
    differences : tuple of str
        What ``[loading]`` asks for that only the names of some readings say.
    """

    label: str
    names: tuple[str, ...]
    repository: str | None = None
    revision: str | None = None
    differences: tuple[str, ...] = ()

    def tiers(self, readings: Sequence[ImportedReading]) -> list[list[ImportedReading]]:
        """Return what goes by each of the names, without what is known to be something else."""
        fitting = [one for one in readings if self._may_be(one)]
        return [[one for one in fitting if one.model == name] for name in self.names]

    def akin(self, readings: Sequence[ImportedReading]) -> list[str]:
        """Return what else goes by other names and is of the same hub model, or begins with a name."""
        return sorted(
            {
                one.model
                for one in readings
                if (self.repository is not None and one.model_repository == self.repository)
                or any(one.model == name or one.model.startswith(f"{name} ") for name in self.names)
            }
        )

    def _may_be(self, reading: ImportedReading) -> bool:
        if reading.model == self.label:
            return True
        if self.revision is None:
            return reading.model_repository in (None, self.repository) or self.repository is None
        at = f"hub:{self.repository}@{self.revision}"
        is_commit = len(self.revision) >= LEAST_COMMIT
        return is_commit and (reading.model_digest or "").startswith(at)


def wanted_models(study: Study, missing: list[Missing]) -> dict[str, WantedModel]:
    """Return the models of a study by what it calls them; those that cannot be named are noted.

    Parameters
    ----------
    study : Study
        The study; nothing that it names is looked up but files and folders that are here.
    missing : list of Missing
        Takes what cannot be named.
    """
    found: dict[str, WantedModel] = {}
    named: dict[str, tuple[ModelSource, ModelSource]] = {}
    for written in study.models:
        imported = imported_name(written)
        if imported is not None:
            found[written] = WantedModel(label=imported, names=(imported,))
            continue
        sources = attempted(study.shown(written), functools.partial(_sources, study, written), missing)
        if sources is not None:
            named[written] = sources
    loaded = told_apart([one for one, _ in named.values()])
    plain = told_apart([one for _, one in named.values()])
    for written, told in zip(named, zip(loaded, plain, strict=True), strict=True):
        found[written] = _wanted(study, written, told, named[written])
    firsts = {written: one.names[0] for written, one in found.items()}
    return {
        written: one
        if imported_name(written) is not None
        else _without(one, {first for other, first in firsts.items() if other != written})
        for written in study.models
        if (one := found.get(written)) is not None
    }


def texts_names(entry: StudyTexts, side: str) -> tuple[str, ...]:
    """Return what the imported readings of one side of a text set may call it, best first.

    Parameters
    ----------
    entry : StudyTexts
        The text set.
    side : {"left", "right"}
        Which side.
    """
    resolved, other = getattr(entry, side), entry.right if side == "left" else entry.left
    imported = imported_name(resolved)
    if imported is not None:
        return (imported,)
    path = None if resolved in TEXT_SETS else existing_path(resolved)
    written = entry.written.get(resolved, resolved)
    names = [written if path is None else path.name]
    column = entry.column if side == "left" else entry.right_column
    if resolved == other and column is not None and entry.column != entry.right_column:
        names.insert(0, f"{names[0]}:{column}")
    if not entry.is_pair:
        names.insert(0, entry.name)
    names += [written, resolved]
    return tuple(dict.fromkeys([*names, *map(shared_texts_name, names)]))


def _sources(study: Study, written: str) -> tuple[ModelSource, ModelSource]:
    """Return what a run names: the model as ``[loading]`` says, and by its own options alone."""
    return unread_model(written, options=study.loading), unread_model(written)


def _wanted(
    study: Study,
    written: str,
    told: tuple[ModelSource, ModelSource],
    alone: tuple[ModelSource, ModelSource],
) -> WantedModel:
    """Return a model by its `_sources`, told apart from the others of the study, and as it is alone."""
    as_loaded, as_named = told
    label = study.shown(written)
    is_whole = written in MODELS or existing_path(written) is not None
    said = ModelName(name=written) if is_whole else model_name(written)
    name, repository = catalogue_model(said.name)
    revision = said.options.get("revision")
    names = [as_loaded.name, label, as_named.name]
    if repository is not None and as_loaded.location is None:
        # of two revisions, which a run tells apart by number, each is known by its commit
        for source in (*told, *(alone if revision is not None else ())):
            added = source.name.removeprefix(said.name)
            names += [f"{spelled}{added}" for spelled in (name, repository)]
    return WantedModel(
        label=label,
        names=tuple(dict.fromkeys(names)),
        repository=repository if as_loaded.location is None else None,
        revision=revision,
        differences=tuple(
            one for one in as_loaded.options.differences if one not in as_named.options.differences
        ),
    )


def _without(model: WantedModel, others: set[str]) -> WantedModel:
    """Return a model without names that are the first of another one of the study."""
    return replace(model, names=tuple(name for name in model.names if name not in others))
