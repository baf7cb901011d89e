"""The sampling of seqit filter: a sample of the rows that pass, by length or by diversity."""

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
    """Return the functions that sample the rows that pass, in order."""
    samplings: list[Sampling] = []
    seed = recipe.seed or 0
    if recipe.match_length:
        from seqit.filter.sampling.match_length import match_length

        lengths, length_function = _baseline(recipe.match_length, recipe.tokenizer)
        samplings.append(
            partial(match_length, baseline=lengths, length_function=length_function, seed=seed)
        )
    if recipe.diverse:
        from seqit.filter.sampling.diverse import Embed, embed_hashed, select_diverse

        if find_spec("numpy") is None:
            raise SeqitError("--diverse needs numpy: pip install 'seqit[near]'")
        embed: Embed = embed_hashed
        if recipe.embeddings:
            from seqit.filter.sampling.embedding import EmbeddingModel

            embed = EmbeddingModel(recipe.embeddings).embed
        samplings.append(partial(select_diverse, count=recipe.diverse, seed=seed, embed=embed))
    return samplings


def _baseline(file: str, tokenizer: str | None) -> "tuple[Lengths, LengthFunction]":
    """Return the output lengths of a file of records, and the function that measures them."""
    from seqit.filter.sampling.match_length import WORDS, LengthFunction, count_lengths
    from seqit.records.readers.rows import read_records
    from seqit.records.run_stats import RunStats
    from seqit.stores.sources import check_sources

    length_function = WORDS
    if tokenizer:
        from seqit.mix.tokens import load_token_counter

        count = load_token_counter(tokenizer).count
        length_function = LengthFunction("tokens", lambda text: count([_output_record(text)])[0])
    # Rows missing from the baseline would bias the match silently: the first bad row is an error.
    strict = RunStats("filter", strict=True)
    rows = read_records(check_sources((file,)), strict)
    records = (row.value for row in rows)
    return count_lengths(records, length_function, file), length_function


def _output_record(output: str) -> Any:
    """Return a record with this output and no other text, to count its tokens."""
    return {"instruction": "", "input": "", "output": output}
