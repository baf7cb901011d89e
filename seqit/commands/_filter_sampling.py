"""What seqit filter draws from the rows that pass: a length, or a diversity."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from seqit.errors import SeqitError

if TYPE_CHECKING:
    from seqit.filter.recipe import FilterRecipe
    from seqit.filter.sampling.match_length import LengthFunction, Lengths
    from seqit.records.run_stats import Row, RunStats

Sampling = Callable[[Iterator["Row"], "RunStats"], Iterator["Row"]]


def sampling_for(recipe: "FilterRecipe") -> list[Sampling]:
    """Return what draws from the rows that pass, in order."""
    draws: list[Sampling] = []
    seed = recipe.seed or 0
    if recipe.match_length:
        from seqit.filter.sampling.match_length import match_length

        lengths, measure = _baseline(recipe.match_length, recipe.tokenizer)
        draws.append(partial(match_length, baseline=lengths, measure=measure, seed=seed))
    if recipe.diverse:
        from seqit.filter.sampling.diverse import Embed, diverse, hashed

        if find_spec("numpy") is None:
            raise SeqitError("--diverse computes with numpy: pip install 'seqit[near]'")
        embed: Embed = hashed
        if recipe.embeddings:
            from seqit.filter.sampling.embedding import EmbeddingModel

            embed = EmbeddingModel(recipe.embeddings).embed
        draws.append(partial(diverse, count=recipe.diverse, seed=seed, embed=embed))
    return draws


def _baseline(file: str, tokenizer: str | None) -> "tuple[Lengths, LengthFunction]":
    """Return the output lengths of a file of records, and how they are measured."""
    from seqit.filter.sampling.match_length import WORDS, LengthFunction, lengths_of
    from seqit.records.readers.rows import read_records
    from seqit.records.run_stats import RunStats
    from seqit.stores.sources import check_sources

    measure = WORDS
    if tokenizer:
        from seqit.mix.tokens import load_tokenizer

        count = load_tokenizer(tokenizer).count
        measure = LengthFunction("tokens", lambda text: count([_only(text)])[0])
    # A baseline that lacks rows would be matched without a word: the first bad row ends it.
    strict = RunStats("filter", strict=True)
    rows = read_records(check_sources((file,)), strict)
    return lengths_of((row.value for row in rows), measure, file), measure


def _only(output: str) -> Any:
    """Return a record that is this output and nothing else, to have its tokens counted."""
    return {"instruction": "", "input": "", "output": output}
