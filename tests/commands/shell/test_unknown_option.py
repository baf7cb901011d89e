"""Options of other tools and misspelt ones: what seqit answers."""

import re

import click
import pytest

from seqit.cli import group
from seqit.commands.shell.unknown_option import (
    _EVERYWHERE,
    SYNONYMS,
    explain_unknown_option,
)

OPTIONS = {
    name: {word for param in command.params for word in param.opts}
    for name, command in group.commands.items()
}
PAIRS = [(command, *pair) for command, table in SYNONYMS.items() for pair in table.items()]


@pytest.mark.parametrize(("command", "word", "instead"), PAIRS, ids=lambda value: value)
def test_every_synonym_is_no_option_and_names_one(command, word, instead):
    assert word not in OPTIONS[command]
    assert set(re.findall(r"--[a-z][\w-]*", instead)) <= OPTIONS[command]


@pytest.mark.parametrize(("word", "instead"), _EVERYWHERE.items())
def test_what_is_answered_by_every_command_names_an_option_of_some(word, instead):
    owners = [name for name, options in OPTIONS.items() if instead in options]
    assert owners or instead == "SOURCE"
    for name in owners:
        if word not in OPTIONS[name] and word not in SYNONYMS.get(name, {}):
            message = explain_unknown_option(word, name, [*OPTIONS[name]])
            assert message == f"there is no option {word} in seqit {name}: use {instead}"


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
        (("respond", "--lable", "x"), "did you mean --label?"),
        (("train", "--rejcts", "x"), "did you mean --rejects?"),
    ],
)
def test_the_right_option_is_named(line, message, seqit):
    ran = seqit(*line)
    assert ran.code == 2
    assert message in ran.err


@pytest.mark.parametrize("word", ["--learning-rat", "--thresh", "--height", "--no-such"])
def test_no_option_is_suggested_for_its_letters_alone(word):
    message = explain_unknown_option(word, "filter", [*OPTIONS["filter"]])
    assert message == f"there is no option {word} in seqit filter; seqit filter --help lists them"


def test_the_environment_still_sets_options():
    train = group.commands["train"]
    names = [param.envvar for param in train.params if isinstance(param, click.Option)]
    assert "SEQIT_TRAIN_LEARNING_RATE" in names
