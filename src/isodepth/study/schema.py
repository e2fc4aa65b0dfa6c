"""Which keys does a study file have, and what kind of value does each take?

The only module that needs pydantic; it is imported when a study is read, and not before. Lists arrive
here as mappings from a place, counted from 1, to what stands there: so an entry that is wrong can be
taken out without moving the others.
"""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Item = TypeVar("Item")
Numbered = dict[int, Item]

LISTS = ("models", "also_as_chat", "texts", "captures", "poolings", "measures", "ks")
"""Keys that take a list, or one thing alone."""

_NAMES = 'expected a list of names, as in ["offline", "./folder"]'
_NAME = "expected a name in quotes that can be printed, with no white space at its ends"
_CHOICE = "expected a name in quotes"
_AT_LEAST = "expected a whole number, at least {}"
_SWITCH = "expected true or false"
_TEXTS = '"news", { texts = "reviews.csv", column = "review" } or { left = "...", right = "..." }'

EXPECTED = {
    "name": "expected a name in quotes of 1 to 80 characters that can be printed",
    "n": 'expected a whole number, at least 2, or "all"',
    "seed": "expected a whole number from 0 to 4294967295",
    "": _CHOICE,
    "models": _NAMES,
    "models[]": _NAMES,
    "also_as_chat": _NAMES,
    "also_as_chat[]": _NAMES,
    "texts": f"expected a list of text sets, each {_TEXTS}",
    "texts[]": f"expected {_TEXTS}",
    "captures": 'expected a list of names, as in ["block"]',
    "captures[]": _CHOICE,
    "poolings": 'expected a list of names and whole numbers, as in ["last", -2]',
    "poolings[]": "expected a name in quotes or a whole number",
    "max_tokens": _AT_LEAST.format(1),
    "metric": _CHOICE,
    "preprocessing": 'expected steps in quotes, as in "center" or "center + remove_components(3)"',
    "measures": 'expected a list of names, as in ["mutual_knn"]',
    "measures[]": _CHOICE,
    "ks": "expected a list of whole numbers, as in [1, 10]",
    "ks[]": _AT_LEAST.format(1),
    "keep": "expected a table: a line [keep], its keys below",
    "keep.activations": _SWITCH,
    "keep.neighbors": _AT_LEAST.format(1),
    "loading": "expected a table: a line [loading], its keys below",
    "loading.trust_remote_code": _SWITCH,
    "loading.untrained": "expected a seed, a whole number from 0 to 4294967295",
    "loading.batch_tokens": _AT_LEAST.format(1),
    "resources": "expected a table: a line [resources], its keys below",
    "resources.models": 'expected tables: a line [resources.models."MODEL"], its keys below',
    "resources.models[]": 'expected a table: a line [resources.models."MODEL"], its keys below',
    "resources.neighbors": "expected a table: a line [resources.neighbors], its keys below",
    "cpus": "expected a number, at least 0",
    "gpus": "expected a number, at least 0, and a whole one above 1",
    "memory_gb": "expected a number above 0",
    "texts[].min_chars": _AT_LEAST.format(0),
    "texts[].max_chars": _AT_LEAST.format(0),
    "texts[].dedupe": _SWITCH,
    "texts[].name": _NAME,
    "texts[].texts": _NAME,
    "texts[].left": _NAME,
    "texts[].right": _NAME,
}
"""What a value should be, in the words of the file, by key; [] stands for what a list holds."""


def _printed(name: str) -> str:
    if not name.isprintable() or name != name.strip() or not name:
        raise ValueError
    return name


def _texts_wanted(n: Any) -> Any:
    if n == "all" or (isinstance(n, int) and not isinstance(n, bool) and 2 <= n < 2**31):
        return n
    raise ValueError


def _pooling(pooling: Any) -> Any:
    if isinstance(pooling, str):
        return pooling
    if isinstance(pooling, int) and not isinstance(pooling, bool) and abs(pooling) < 2**31:
        return pooling
    raise ValueError


def _whole_above_one(gpus: float) -> float:
    if gpus > 1 and gpus != int(gpus):
        raise ValueError
    return gpus


Name = Annotated[str, AfterValidator(_printed)]
TextsWanted = Annotated[Any, AfterValidator(_texts_wanted)]
Pooling = Annotated[Any, AfterValidator(_pooling)]
Positive = Annotated[int, Field(ge=1, le=2**31 - 1)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Characters = Annotated[int, Field(ge=0, le=2**63 - 1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Gpus = Annotated[Amount, AfterValidator(_whole_above_one)]
Memory = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Table(BaseModel):
    """A table of the file: no keys but these, no value of another type."""

    model_config = ConfigDict(strict=True, extra="forbid")


class TextsTable(Table):
    """An entry of ``texts``."""

    name: Name | None = None
    texts: Name | None = None
    left: Name | None = None
    right: Name | None = None
    n: TextsWanted | None = None
    seed: Seed | None = None
    column: str | None = None
    right_column: str | None = None
    source: str | None = None
    min_chars: Characters | None = None
    max_chars: Characters | None = None
    dedupe: bool = False


class KeepTable(Table):
    """What stays in the store."""

    activations: bool = False
    neighbors: Positive | None = None


class LoadingTable(Table):
    """How models are loaded."""

    dtype: str | None = None
    quantization: str | None = None
    attention: str | None = None
    device: str | None = None
    device_map: str | None = None
    trust_remote_code: bool = False
    untrained: Seed | None = None
    batch_tokens: Positive | None = None


class TaskTable(Table):
    """What a task asks of a cluster."""

    cpus: Amount | None = None
    gpus: Gpus | None = None
    memory_gb: Memory | None = None


class NeighborsTaskTable(Table):
    """What a task asks of a cluster that finds neighbors, which takes no GPU."""

    cpus: Amount | None = None
    memory_gb: Memory | None = None


class ResourcesTable(TaskTable):
    """The same for all models, and for some of them."""

    models: dict[str, TaskTable] = {}
    neighbors: NeighborsTaskTable | None = None


class StudyTable(Table):
    """The file."""

    name: Annotated[Name, Field(max_length=80)] | None = None
    n: TextsWanted | None = None
    seed: Seed = 1234
    models: Annotated[Numbered[Name], Field(min_length=1)] = {}
    also_as_chat: Numbered[Name] = {}
    texts: Annotated[Numbered[TextsTable], Field(min_length=1)] = {}
    captures: Annotated[Numbered[str], Field(min_length=1)] = {1: "block"}
    poolings: Annotated[Numbered[Pooling], Field(min_length=1)] = {1: "last"}
    max_tokens: Positive | None = None
    metric: str = "cosine"
    preprocessing: str = "none"
    measures: Annotated[Numbered[str], Field(min_length=1)] = {1: "mutual_knn"}
    ks: Annotated[Numbered[Positive], Field(min_length=1)] = {1: 10}
    keep: KeepTable = KeepTable()
    loading: LoadingTable = LoadingTable()
    resources: ResourcesTable = ResourcesTable()


TABLES: dict[str, type[Table]] = {
    "": StudyTable,
    "texts[]": TextsTable,
    "keep": KeepTable,
    "loading": LoadingTable,
    "resources": ResourcesTable,
    "resources.models[]": TaskTable,
    "resources.neighbors": NeighborsTaskTable,
}
"""The tables by key; the study itself is the one without."""

TITLES = {
    "": "a study",
    "texts[]": "an entry of texts",
    "keep": "[keep]",
    "loading": "[loading]",
    "resources": "[resources]",
    "resources.models[]": '[resources.models."MODEL"]',
    "resources.neighbors": "[resources.neighbors]",
}
"""How the tables are called in errors."""
