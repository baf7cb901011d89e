"""seqit filter: rows that no rule objects to."""

from functools import partial

import click

from seqit.commands._job import Job, data_options, workers_option
from seqit.commands._shell import Command
from seqit.errors import UsageError


@click.command("filter", cls=Command, short_help="Keep the rows that no rule objects to.")
@click.option(
    "-r",
    "--rule",
    "rules",
    metavar="NAME[:P=V,…]",
    multiple=True,
    help="Add a rule, or give one other parameters: length:field=output,max_words=512.",
)
@click.option("--skip", metavar="NAME", multiple=True, help="Leave out a rule of the default set.")
@click.option("--no-defaults", is_flag=True, help="Only the rules given with --rule.")
@click.option("--list", "list_rules", is_flag=True, help="Explain the rules and their parameters.")
@workers_option
@data_options
def command(
    job: Job,
    *,
    rules: tuple[str, ...],
    skip: tuple[str, ...],
    no_defaults: bool,
    list_rules: bool,
    workers: int | None,
) -> None:
    """Write the rows that pass every rule, byte for byte as they came.

    A rejected row is counted under its rule; --rejects keeps it with the evidence.
    """
    from seqit.filter import RULES, apply, default_rules, parse_rule
    from seqit.records.validation import did_you_mean

    if list_rules:
        click.echo(_listing())
        return
    for name in skip:
        if name not in RULES:
            hint = did_you_mean(name, RULES)
            raise UsageError(f"--skip: there is no rule {name!r}{hint}; see --list")
    added = [parse_rule(text) for text in rules]
    replaced = {*skip, *(rule.name for rule in added)}
    kept = [] if no_defaults else [rule for rule in default_rules() if rule.name not in replaced]
    chosen = [*kept, *added]
    if not chosen:
        raise UsageError("no rule is left: add one with --rule, or drop --no-defaults")
    with job.workers(workers) as pool:
        if pool is None:
            job.run(lambda rows, account: apply(rows, chosen, account))
        else:
            from seqit.filter.parallel import read_passing

            job.run(lambda rows, account: rows, partial(read_passing, rules=chosen, workers=pool))


def _listing() -> str:
    from seqit.filter import describe

    lines = []
    for rule in describe():
        lines.append(f"{rule['name']}{'' if rule['default'] else ' (off by default)'}")
        lines.append(f"    {rule['explanation']}")
        for parameter in rule["parameters"]:
            default = "" if parameter["default"] is None else f" [{parameter['default']}]"
            lines.append(f"    {parameter['name']}{default}: {parameter['meaning']}")
    return "\n".join(lines)
