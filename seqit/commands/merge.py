"""seqit merge: write one model folder from adapters and their base, or from sharded weights."""

from pathlib import Path

import click

from seqit.commands.shell.command import Command, claim_stdout, say

DTYPES = ("auto", "float32", "bfloat16", "float16")


@click.command("merge", cls=Command, short_help="Merge adapters or sharded weights into one model.")
@click.argument("source", metavar="DIR")
@click.option(
    "-o", "--output", required=True, metavar="OUT", help="The new folder, whole or not at all."
)
@click.option(
    "--base",
    metavar="MODEL",
    help="The base model, a folder or a hub name, if DIR does not name it or it was moved.",
)
@click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    default="auto",
    show_default=True,
    help="The dtype of the written weights; auto: the base's.",
)
@click.option("-q", "--quiet", is_flag=True, help="No closing line.")
@click.pass_context
def command(
    ctx: click.Context, *, source: str, output: str, base: str | None, dtype: str, quiet: bool
) -> None:
    """Write a complete model, to be loaded as transformers:OUT or vllm:OUT.

    \b
    DIR is one of
      a LoRA adapter: it is added to its base
      an unfinished run of seqit train, or one of its checkpoints
      a DeepSpeed checkpoint, ZeRO 0 to 3: the shards of the ranks are merged

    Tokenizer and chat template are copied. Runs on the CPU and needs memory for the weights.
    """
    from seqit.train.merge import merge

    with claim_stdout():
        merged = merge(Path(source), Path(output), base=base, dtype=dtype)
    if not quiet:
        say(
            ctx,
            f"{merged.folder}: {merged.parameters:,} parameters in {merged.dtype}, from the "
            f"{merged.kind} in {source} and the base model {merged.base}",
        )
