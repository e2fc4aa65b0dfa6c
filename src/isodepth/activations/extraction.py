"""Activations of a model on a text set, at the end of every decoder block.

>>> extract(model, load_texts("wikipedia", n=512)).values.shape                  # doctest: +SKIP
(30, 512, 576)

On the CPU several batches are read at once, one thread each, over shared weights: for models of this
size that is 1.05 to 1.2 times as fast as all threads on one batch. Batches of 400 to 1,000 tokens stay
in the processor's caches: 4,000 tokens cost 10 to 20 % more time per token. The library that suits the
processor multiplies; see `isodepth.activations.products`.

Memory: the weights, one batch per thread, and what the caller keeps of the results.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isodepth.activations.batching import length_sorted_batches
from isodepth.activations.capture import BlockReader, Reading
from isodepth.activations.contract import Contract, check_contracts
from isodepth.activations.encoding import EncodedTexts, encode_texts, refuse_places_without_text
from isodepth.activations.memory import HalvingReader
from isodepth.activations.probes import N_PROBES
from isodepth.activations.products import linear_layers_by
from isodepth.activations.result import Activations, ExtractionOptions, check_finite
from isodepth.activations.workers import most_workers, worker_threads
from isodepth.errors import ActivationsError, ParameterError
from isodepth.models.loading import load_model
from isodepth.models.model import Model, refuse_changed
from isodepth.models.transformers_calls import quiet_transformers
from isodepth.progress import Progress, no_progress
from isodepth.texts import TextSet, load_texts

TOKEN_BUDGET = 1024
ACCELERATOR_TOKEN_BUDGET = 16_384
"""On CUDA and MPS devices, which small batches leave idle."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Extraction:
    """One pass of a model over texts that is ready to run: checked, encoded, to be cut into batches.

    Parameters
    ----------
    model : Model
        The model.
    texts : TextSet
        The texts.
    options : tuple of ExtractionOptions
        What to read in one pass; they differ in capture and pooling only.
    encoded : EncodedTexts
        The distinct texts as token ids.
    contracts : tuple of Contract
        What was measured on some of the texts for each of the options; all have one way of batching.
    token_budget : int
        The most tokens of a batch, padding included.
    """

    model: Model
    texts: TextSet
    options: tuple[ExtractionOptions, ...]
    encoded: EncodedTexts
    contracts: tuple[Contract, ...]
    token_budget: int

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(layers, texts, units) of the result for each of the options."""
        n_layers = [1 if one.capture == "embedding" else self.model.n_layers for one in self.options]
        return tuple((n, len(self.texts), self.model.width) for n in n_layers)

    @property
    def batching(self) -> str:
        """How texts are batched: a key of `BATCHINGS`."""
        return self.contracts[0].batching

    def provenance(self, contract: Contract) -> dict[str, Any]:
        """Return what was read and how, as JSON values, for options of this contract."""
        return {
            **self.model.provenance,
            "linear_layers": linear_layers_by(self.model.provenance),
            "token_budget": self.token_budget,
            "encoding": self.encoded.as_dict(),
            "contract": contract.as_dict(),
        }

    def batches(
        self, *, missing: np.ndarray | None = None, progress: Progress = no_progress
    ) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """Yield rows and, for each of the options, float32 (layers, rows, units), as batches finish.

        Parameters
        ----------
        missing : int64 array, optional
            The rows that are wanted. Batches are cut from all texts whatever is missing, so that a
            resumed run computes what an unbroken one would have, and a batch is read again whole.
        progress : Progress
            Told of real tokens read.

        Raises
        ------
        ActivationsError
            If values are NaN or infinite, or a text does not fit in memory.

        Warns
        -----
        HalvedBatchWarning
            If a batch does not fit in memory; it is read in halves.
        """
        lengths = self.encoded.lengths
        wanted = np.full(len(self.texts), missing is None)
        if missing is not None:
            wanted[missing] = True
        needed = np.array([bool(wanted[rows].any()) for rows in self.encoded.rows])
        batches = length_sorted_batches(
            lengths,
            token_budget=self.token_budget,
            batching=self.batching,
            rescales_above=self.model.rescales_above,
        )
        todo = [batch for batch in batches if needed[batch].any()]
        total = int(lengths.sum())
        done = total - int(sum(lengths[batch].sum() for batch in todo))
        label = f"reading with {self.model.name}"
        progress(label, done, total, "tokens")
        # by all batches, not by those to do: with other threads a matrix product rounds otherwise
        n_workers = max(1, min(most_workers(self.model), len(batches)))
        for batch, values in self._read_in_threads(todo, n_workers):
            rows = np.concatenate([self.encoded.rows[index] for index in batch])
            copies = [len(self.encoded.rows[index]) for index in batch]
            for_rows = [np.repeat(one, copies, axis=1) for one in values]
            for one in for_rows:
                check_finite(one, rows=rows, model=self.model.name)
            yield rows, for_rows
            done += int(lengths[batch].sum())
            progress(label, done, total, "tokens")

    def _read_in_threads(
        self, batches: list[np.ndarray], n_workers: int
    ) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """Yield (indices of distinct texts, values) as batches finish, in no fixed order."""
        waiting = iter(batches)
        running: dict[Future[list[np.ndarray]], np.ndarray] = {}
        readings = [Reading(options.capture, options.pooling) for options in self.options]
        with (
            quiet_transformers(),
            BlockReader(self.model, readings) as reader,
            worker_threads(n_workers) as executor,
        ):
            front = self.encoded.n_left_out_of_mean(is_causal=self.model.is_causal)
            halving = HalvingReader(reader, front=front)

            def start_next() -> None:
                batch = next(waiting, None)
                if batch is not None:
                    ids = [self.encoded.ids[index] for index in batch]
                    running[executor.submit(halving.read, ids)] = batch

            for _ in range(n_workers + 1):
                start_next()
            while running:
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    batch = running.pop(future)
                    start_next()
                    yield batch, future.result()


def prepare_extraction(
    model: Model,
    texts: TextSet,
    options: ExtractionOptions | Sequence[ExtractionOptions],
    *,
    token_budget: int | None = None,
    n_probes: int = N_PROBES,
) -> tuple[Extraction, ...]:
    """Return the passes that read what is wanted, each of which keeps its contract.

    That is one, unless some of what is wanted must be batched otherwise than the rest. How each is
    batched depends on the model, the texts, its capture and pooling, never on what else is read.

    Parameters
    ----------
    model : Model
        The model.
    texts : TextSet
        The texts.
    options : ExtractionOptions, or several
        What to read; several must differ in capture and pooling only.
    token_budget : int, optional
        The most tokens of a batch, padding included; else the model's `batch_tokens`, or its device's.
    n_probes : int
        How many texts the contract is measured on.

    Raises
    ------
    ParameterError
        If the options differ in more.
    TextsError
        If a text has no tokens, or none where the pooling looks.
    ModelError
        If the model lacks such a part or a chat template, or was changed since it was identified.
    ActivationsError
        If the contract does not hold; see `check_contracts`.
    """
    refuse_changed(model)
    wanted = (options,) if isinstance(options, ExtractionOptions) else tuple(options)
    if len({(one.max_tokens, one.chat) for one in wanted}) > 1:
        raise ParameterError(
            "what is read in one pass must have the same max_tokens and chat; got "
            f"{[one.as_dict() for one in wanted]}"
        )
    if not model.is_causal and any(one.pooling == "last" for one in wanted):
        raise ActivationsError(
            f"{model.name} ({type(model.body).__name__}): its tokens see later ones (it is no causal "
            "decoder), so the last token does not stand for what has been read",
            hint="use --pooling mean, as sentence models do.",
        )
    limits = [limit for limit in (wanted[0].max_tokens, model.context_length) if limit is not None]
    encoded = encode_texts(
        texts.texts,
        model.tokenizer,
        limit=min(limits, default=None),
        name=model.name,
        chat=wanted[0].chat,
        keeps_suffix=not model.is_causal,
    )
    for one in wanted:
        refuse_places_without_text(
            encoded, one.pooling, capture=one.capture, is_causal=model.is_causal, name=model.name
        )
    readings = [Reading(one.capture, one.pooling) for one in wanted]
    with quiet_transformers():  # it logs which of its implementations it falls back to
        contracts = check_contracts(model, encoded, readings, n_probes=n_probes)
    on_accelerator = str(model.provenance.get("device", "cpu")).startswith(("cuda", "mps"))
    default = model.batch_tokens or (ACCELERATOR_TOKEN_BUDGET if on_accelerator else TOKEN_BUDGET)
    passes: dict[str, list[tuple[ExtractionOptions, Contract]]] = {}
    for one, contract in zip(wanted, contracts, strict=True):
        passes.setdefault(contract.batching, []).append((one, contract))
    return tuple(
        Extraction(
            model=model,
            texts=texts,
            options=tuple(one for one, _ in found),
            encoded=encoded,
            contracts=tuple(contract for _, contract in found),
            token_budget=default if token_budget is None else token_budget,
        )
        for found in passes.values()
    )


def extract(
    model: Model | str | Path,
    texts: TextSet | Sequence[str] | str | Path,
    *,
    capture: str = "block",
    pooling: str | int = "last",
    max_tokens: int | None = None,
    chat: bool = False,
    token_budget: int | None = None,
    progress: Progress = no_progress,
) -> Activations:
    """Return the activations of a model on texts, held in memory.

    Parameters
    ----------
    model : Model, str or Path
        A loaded model, or what `load_model` takes.
    texts : TextSet, sequence of str, str or Path
        A text set, or what `load_texts` takes.
    capture : {"block", "final_norm", "embedding", "attention", "mlp"}
        "block": the output of every decoder block. "final_norm": the same, but the last layer after
        the model's final norm, which is what ``output_hidden_states`` gives. "embedding": what enters
        the first block (layer 0). "attention", "mlp": what these parts of every block hand to the
        residual stream, before any norm or scale between the two.
    pooling : {"last", "mean", "first"} or int
        "last": at the text's last token. "mean": over its tokens; in causal models without those that
        the tokenizer or chat template puts in front. "first", or an index from 0, or from the end if
        negative: at that token.
    max_tokens : int, optional
        Cut texts after so many tokens; the model's context length where it is left out.
    chat : bool
        Wrap every text as a user's turn in the model's own chat template, with the generation prompt,
        as the paper does for its instruction-tuned models.
    token_budget : int, optional
        The most tokens of a batch, padding included; the model's `batch_tokens` where it is left out,
        and what suits the device where that is None. Changes speed and memory; values only by rounding.
    progress : Progress
        Told of tokens read.

    Returns
    -------
    Activations
        With ``values`` of shape (layers, texts, units), float32, on the CPU.

    Raises
    ------
    ActivationsError
        If the contract does not hold or values are NaN or infinite.
    TextsError, ParameterError
        If texts or options cannot be used.
    ModelError
        If `chat` is wanted and the model has no chat template, or its blocks have no such part.

    References
    ----------
    Wolfram & Schein 2025, Definition 1 and section 3.2: the activation at the end of decoder module
    l at the last token of the input. Their published matrices hold, at the last layer, the final
    norm's output instead (capture="final_norm").
    """
    options = ExtractionOptions(capture=capture, pooling=pooling, max_tokens=max_tokens, chat=chat)
    (activations,) = _extracted(model, texts, [options], token_budget, progress)
    return activations


def extract_all(
    model: Model | str | Path,
    texts: TextSet | Sequence[str] | str | Path,
    *,
    captures: Sequence[str] = ("block",),
    poolings: Sequence[str | int] = ("last",),
    max_tokens: int | None = None,
    chat: bool = False,
    token_budget: int | None = None,
    progress: Progress = no_progress,
) -> dict[tuple[str, str | int], Activations]:
    """Return several captures and poolings of a model on texts, read in one pass.

    Parameters
    ----------
    model, texts, max_tokens, chat, token_budget, progress
        As in `extract`.
    captures : sequence of str
        Each as in `extract`.
    poolings : sequence of str or int
        Each as in `extract`; every capture is pooled in every way.

    Returns
    -------
    dict
        From (capture, pooling) to `Activations`, as `extract` would give them. A pooling stands there
        under its usual name: "last" for -1, "first" for 0.

    Raises
    ------
    IsodepthError
        Its subtypes are those of `extract`.

    Examples
    --------
    >>> both = extract_all(model, texts, captures=["block", "mlp"])              # doctest: +SKIP
    >>> both["mlp", "last"].values.shape                                         # doctest: +SKIP
    (30, 512, 576)
    """
    for what, given in (("captures", captures), ("poolings", poolings)):
        if isinstance(given, str) or not given:
            raise ParameterError(f"{what} must be one or more in a list; got {given!r}")
    options = [
        ExtractionOptions(capture=capture, pooling=pooling, max_tokens=max_tokens, chat=chat)
        for capture in dict.fromkeys(captures)
        for pooling in dict.fromkeys(poolings)
    ]
    found = _extracted(model, texts, options, token_budget, progress)
    return {(one.options.capture, one.options.pooling): one for one in found}


def _extracted(
    model: Model | str | Path,
    texts: TextSet | Sequence[str] | str | Path,
    options: list[ExtractionOptions],
    token_budget: int | None,
    progress: Progress,
) -> list[Activations]:
    """Return the activations for each of the options."""
    if token_budget is not None and token_budget < 1:
        raise ParameterError(f"token_budget must be at least 1; got {token_budget}")
    text_set = texts if isinstance(texts, TextSet) else load_texts(texts, progress=progress)
    loaded = model if isinstance(model, Model) else load_model(model, progress=progress)
    found: dict[ExtractionOptions, Activations] = {}
    for extraction in prepare_extraction(loaded, text_set, options, token_budget=token_budget):
        values = [np.empty(shape, dtype=np.float32) for shape in extraction.shapes]
        for rows, parts in extraction.batches(progress=progress):
            for whole, part in zip(values, parts, strict=True):
                whole[:, rows] = part
        for one, wanted, contract in zip(values, extraction.options, extraction.contracts, strict=True):
            found[wanted] = Activations(
                values=one,
                model=loaded.name,
                texts=text_set.name,
                model_digest=loaded.digest,
                texts_digest=text_set.digest,
                options=wanted,
                provenance=extraction.provenance(contract),
            )
    return [found[wanted] for wanted in options]
