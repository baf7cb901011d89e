"""Error messages for options of other tools, and for misspelt options."""

import re

import click
import pytest

from seqit.cli import group
from seqit.commands.shell.unknown_option import (
    COMMON_SYNONYMS,
    SYNONYMS,
    explain_unknown_option,
)

OPTIONS = {
    name: {option for param in command.params for option in param.opts}
    for name, command in group.commands.items()
}
PAIRS = [(command, *pair) for command, table in SYNONYMS.items() for pair in table.items()]


@pytest.mark.parametrize(("command", "synonym", "option"), PAIRS, ids=lambda value: value)
def test_a_synonym_is_not_an_option_and_its_replacement_is_one(command, synonym, option):
    assert synonym not in OPTIONS[command]
    assert set(re.findall(r"--[a-z][\w-]*", option)) <= OPTIONS[command]


@pytest.mark.parametrize(("synonym", "option"), COMMON_SYNONYMS.items())
def test_a_common_synonym_is_replaced_in_every_command_with_the_option(synonym, option):
    owners = [name for name, options in OPTIONS.items() if option.partition(" ")[0] in options]
    assert owners or option == "SOURCE"
    for name in owners:
        if synonym not in OPTIONS[name] and synonym not in SYNONYMS.get(name, {}):
            message = explain_unknown_option(synonym, name, [*OPTIONS[name]])
            assert message == f"there is no option {synonym} in seqit {name}: use {option}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("augment", "--max-tokens", "9"), "--max-new-tokens for one completion, --max-total-"),
        (("train", "--lr", "1e-5"), "use --learning-rate"),
        (("train", "--lr=1e-5"), "use --learning-rate"),
        (("train", "--batch", "8"), "use --batch-size"),
        (("train", "--batch_size", "8"), "--batch_size is written --batch-size"),
        (("augment", "--batch"), "use --batch-api"),
        (("filter", "--skip", "loop"), "use --without"),
        (("mix", "--temperature", "2"), "use --mix-temperature"),
        (("export", "--keep", "id"), "use --columns"),
        (("bench", "--shots", "5"), "use --num-fewshot"),
        (("augment", "--num-proc", "4"), "use --max-concurrency"),
        (("augment", "--in", "x"), "use SOURCE"),
        (("augment", "--iter", "2"), "did you mean --iterations?"),
        (("augment", "--itterations", "2"), "did you mean --iterations?"),
        (("bench", "--max-samples", "5"), "use --limit"),
        (("filter", "--verbose"), "progress is shown without an option"),
        (("train", "--bs", "4"), "use --batch-size"),
        (("respond", "--lable", "x"), "did you mean --label?"),
        (("train", "--rejcts", "x"), "did you mean --rejects?"),
    ],
)
def test_the_right_option_is_named(line, message, seqit):
    ran = seqit(*line)
    assert ran.code == 2
    assert message in ran.err


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *(("filter", name) for name in ("--learning-rat", "--thresh", "--height", "--no-such")),
        ("respond", "--max-samples"),  # not --samples, which multiplies the requests
        ("train", "--log-level"),  # not --log-every
        ("mix", "--max-tokens"),  # not --tokens, of the whole mixture
        ("merge", "--bs"),
    ],
)
def test_a_distant_option_is_not_suggested(command, name):
    message = explain_unknown_option(name, command, [*OPTIONS[command]])
    assert message.endswith(f"{name} in seqit {command}; seqit {command} --help lists them")


def test_options_have_environment_variables():
    train = group.commands["train"]
    names = [param.envvar for param in train.params if isinstance(param, click.Option)]
    assert "SEQIT_TRAIN_LEARNING_RATE" in names
