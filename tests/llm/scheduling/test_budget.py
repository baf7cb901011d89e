"""Prices, estimates and the limits on what a run may cost."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqit.errors import SeqitError, UsageError
from seqit.llm.request import Completion, Request, Sampling
from seqit.llm.scheduling.budget import Budget, TokenCount
from seqit.llm.scheduling.prices import Price, Prices

PRICE = Price(2.0, 8.0)  # US dollars per million tokens


def request(text="x" * 400, stage="respond", **more) -> Request:
    return Request([{"role": "user", "content": text}], Sampling(), 0, stage=stage, **more)


def completion(prompt_tokens=100, completion_tokens=50, text="an answer") -> Completion:
    return Completion(text, "stop", prompt_tokens, completion_tokens)


# --- prices ---


def test_the_packaged_table_can_be_read():
    prices = Prices.load()
    assert prices.price_of("gpt-4o") == Price(2.5, 10.0)
    assert len(prices.table) > 30
    assert all(0 < price.input <= price.output for price in prices.table.values())


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("gpt-3.5-turbo-0125", "gpt-3.5-turbo"),
        ("command-r-08-2024", "command-r-08-2024"),
        ("gpt-4o-audio-preview", None),
        ("gpt-4o-mini-audio-2024-07-18", None),
        ("gpt-4", None),
        ("my-gpt-4o", None),
        ("gpt-4o-2024-08-06-tuned", None),
        ("", None),
    ],
)
def test_a_model_is_found_by_its_name_or_without_its_date(model, name):
    prices = Prices.load()
    assert prices.price_of(model) == (prices.table[name] if name else None)


def test_a_price_file_replaces_the_table(tmp_path):
    path = tmp_path / "prices.json"
    path.write_text('{"checked": "2026-11-01", "note": "ours", "llama": {"input": 0, "output": 1}}')
    prices = Prices.load(path)
    assert prices.table == {"llama": Price(0.0, 1.0)}
    assert prices.price_of("gpt-4o") is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{\n"a": {"input": 1,}\n}', ":2: not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "a price file is one JSON object"),
        ('{"a": 3}', "'a' must be an object"),
        ('{"note": 3}', "'note' must be an object"),
        ('{"a": {"input": 1}}', "'a' lacks 'output'"),
        ('{"a": {"input": "1", "output": 2}}', "'a', 'input' must be a number"),
        ('{"a": {"input": 1, "output": true}}', "'a', 'output' must be a number"),
        ('{"a": {"input": 1, "output": -2}}', "'a', 'output' is -2; a price must be 0 or more"),
        ('{"a": {"input": NaN, "output": 2}}', "'a', 'input' is nan"),
        ('{"a": {"prompt": 1, "output": 2}}', "'a' has 'prompt'; only"),
    ],
)
def test_an_invalid_price_file_is_reported(tmp_path, content, problem):
    path = tmp_path / "prices.json"
    path.write_text(content)
    with pytest.raises(SeqitError) as caught:
        Prices.load(path)
    assert str(path) in str(caught.value) and problem in str(caught.value)


def test_a_price_file_that_cannot_be_read_is_reported(tmp_path):
    with pytest.raises(SeqitError, match=r"absent\.json: No such file"):
        Prices.load(tmp_path / "absent.json")
    (tmp_path / "latin.json").write_bytes(b'{"\xe9": {}}')
    with pytest.raises(SeqitError, match="is not UTF-8 text"):
        Prices.load(tmp_path / "latin.json")


def test_the_cost_of_tokens():
    assert PRICE.cost(1_000_000, 0) == 2.0
    assert PRICE.cost(1000, 500) == pytest.approx(0.006)


def test_a_limit_on_the_cost_needs_a_price():
    with pytest.raises(UsageError, match=r'price of llama is not.*\{"llama": \{"input".*--prices'):
        Budget(max_cost=5, model="llama")
    assert Budget(max_tokens=5, model="llama").cost is None


# --- estimates ---


def test_the_first_estimate_uses_the_defaults():
    budget = Budget()
    assert budget.estimate(request()) == TokenCount(100, 400)
    short = replace(request(), sampling=Sampling(max_new_tokens=32))
    assert budget.estimate(short) == TokenCount(100, 32)


def test_estimates_use_the_average_characters_per_token_and_completion_length():
    budget = Budget()
    budget.spend(request(), completion(200, 30))
    budget.spend(request("y" * 200), completion(100, 50))
    assert budget.estimate(request("z" * 100)) == TokenCount(50, 40)
    assert budget.estimate(request("z" * 100, stage="classify")) == TokenCount(50, 400)


def test_a_prompt_without_text_does_not_change_characters_per_token():
    budget = Budget()
    budget.spend(request(""), completion(12, 30))
    assert budget.estimate(request()) == TokenCount(100, 30)
    assert budget.estimate(request("")) == TokenCount(0, 30)


def test_images_do_not_change_characters_per_token():
    budget = Budget()
    parts = [{"type": "image", "image": "a.png"}, {"type": "text", "text": "x" * 40}]
    pictured = replace(request(), messages=[{"role": "user", "content": parts}])
    assert budget.estimate(pictured) == TokenCount(1010, 400)
    budget.spend(pictured, completion(700, 10))
    assert budget.estimate(request()) == TokenCount(100, 10)


def test_without_the_server_s_count_tokens_are_estimated():
    budget = Budget(price=PRICE)
    assert budget.spend(request(), completion(0, 0, "a" * 80)) == TokenCount(100, 20)
    assert budget.cost == pytest.approx(PRICE.cost(100, 20))
    assert budget.estimate(request()) == TokenCount(100, 400)  # the averages are unchanged


# --- limits ---


def test_without_limits_everything_may_be_sent():
    budget = Budget(price=PRICE)
    assert budget.may_send(TokenCount(10**12, 10**12), TokenCount(10**12, 0))
    assert budget.exceeded_message(TokenCount(10**12, 10**12)) == ""


def test_requests_in_flight_count_against_the_limit():
    budget = Budget(max_tokens=1000)
    assert budget.may_send(TokenCount(100, 400), TokenCount(100, 400))
    assert not budget.may_send(TokenCount(101, 400), TokenCount(100, 400))
    budget.spend(request(), completion(500, 300))
    assert budget.may_send(TokenCount(100, 100), TokenCount())
    assert not budget.may_send(TokenCount(100, 101), TokenCount())
    assert budget.exceeded_message(TokenCount(100, 101)) == (
        "the limit of 1,000 tokens is reached: 800 are spent after 1 completion, "
        "and the next request takes about 201"
    )


def test_the_cost_is_limited_too():
    budget = Budget(max_cost=0.01, max_tokens=10**9, price=PRICE)
    assert budget.exceeded_message(TokenCount(1000, 1000)) == ""
    for _ in range(2):
        budget.spend(request(), completion(500, 250))
    assert budget.cost == pytest.approx(0.006)
    assert budget.may_send(TokenCount(0, 500), TokenCount())
    assert not budget.may_send(TokenCount(0, 300), TokenCount(0, 300))
    assert budget.exceeded_message(TokenCount(1000, 1000)) == (
        "the limit of US$ 0.0100 is reached: US$ 0.0060 are spent after 2 completions, "
        "and the next request costs about US$ 0.0100"
    )


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 500), min_size=1, max_size=60),
    limit=st.integers(0, 20_000),
    window=st.integers(1, 8),
)
def test_a_limit_is_exceeded_by_at_most_the_error_of_the_estimates(lengths, limit, window):
    """With a window of requests in flight; the oldest finishes if the next may not be sent."""
    budget = Budget(max_tokens=limit)
    in_flight: list[tuple[TokenCount, int]] = []
    tokens_in_flight, total_error = TokenCount(), 0
    waiting = list(lengths)
    while in_flight or waiting:
        estimate = budget.estimate(request())
        if waiting and len(in_flight) < window and budget.may_send(estimate, tokens_in_flight):
            in_flight.append((estimate, waiting.pop()))
            tokens_in_flight = tokens_in_flight.plus(estimate)
        elif in_flight:
            estimate, length = in_flight.pop(0)
            tokens_in_flight = tokens_in_flight.minus(estimate)
            used = budget.spend(request(), completion(100, length))
            total_error += max(0, used.total - estimate.total)
        else:
            assert budget.exceeded_message(estimate)
            break
    assert budget.spent.total <= limit + total_error
