"""The options of the commands that call a model, and the client that they configure."""

import functools
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from seqit.commands.shell.command import SectionOption, was_given, was_typed
from seqit.errors import UsageError

if TYPE_CHECKING:
    from seqit.llm.backend import Backend
    from seqit.llm.cache.cache import Cache
    from seqit.llm.client import ModelClient
    from seqit.llm.request import Completion, Request, Sampling
    from seqit.llm.scheduling.prices import Price
    from seqit.llm.scheduling.scheduler import Scheduler

CONCURRENCY = 64
RETRIES = 8
WINDOW, MAX_WINDOW = 32, 2048
"""Rows in progress: per request in flight, and the maximum. A row whose request is retried does
not block the rows after it."""
BATCH_WINDOW = 50_000
"""Rows in progress with --batch-api: the provider's maximum number of requests per batch."""


class JsonObject(click.ParamType[Any]):
    """A JSON object, written as text."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the object as a dict."""
        import json

        if isinstance(value, dict):
            return value
        try:
            decoded = json.loads(value)
        except ValueError as error:
            self.fail(f"it is not JSON: {error}", param, ctx)
        if not isinstance(decoded, dict):
            self.fail('write a JSON object, such as {"reasoning_effort": "low"}', param, ctx)
        return decoded


def _option(section: str, name: str, **settings: Any) -> Callable[..., Any]:
    return click.option(name, cls=SectionOption, section=section, **settings)


MODEL = functools.partial(_option, "Model")
LIMITS = functools.partial(_option, "Limits")
STORAGE = functools.partial(_option, "Cache of completions")


class SamplingDefaults(NamedTuple):
    """A command's default sampling, and the option that names its model."""

    option: str
    temperature: float
    top_p: float

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0

    @property
    def help_texts(self) -> tuple[str, str]:
        """The help of --temperature and of --top-p."""
        if self.is_greedy:
            return "Default 0, which is greedy.", f"Default {self.top_p:g}; unused when greedy."
        return f"Default {self.temperature:g}; 0 is greedy.", f"Default {self.top_p:g}."


TEACHER = SamplingDefaults("--teacher", 1.0, 0.9)
"""The sampling of arXiv 2403.07794, for writing and for answering chains."""


_OPTIONS = [
    MODEL("--top-k", type=click.IntRange(1), metavar="N", help="Sample among the N likeliest "
          "tokens; default 50 in process, not sent to servers."),
    MODEL("--max-new-tokens", type=click.IntRange(1), metavar="N",
          help="Tokens of one completion; default 2048."),
    MODEL("--no-structured", is_flag=True, help="Do not request answers by JSON Schema, which "
          "not every server supports; they are parsed from tags."),
    MODEL("--base-url", metavar="URL", help="openai: the server; default OPENAI_BASE_URL."),
    MODEL("--extra-body", type=JsonObject(), metavar="JSON",
          help="openai: more keys of the request's body; null removes one."),
    MODEL("--engine-arg", multiple=True, metavar="NAME=VALUE",
          help="vllm, transformers: such as tensor_parallel_size=4 or lora=PATH; repeatable."),
    MODEL("--batch-api", is_flag=True, help="openai: use the provider's Batch API, which costs "
          "less: submit and exit; the same command again collects the results and goes on."),
    MODEL("--wait", is_flag=True, help="With --batch-api: wait until all results are collected."),
    LIMITS("--max-concurrency", type=click.IntRange(1, 4096), metavar="N",
           help=f"openai: requests in flight; default {CONCURRENCY}. Fewer while the server "
           "reports that it is overloaded."),
    LIMITS("--rpm", type=click.IntRange(1), metavar="N", help="Requests per minute."),
    LIMITS("--tpm", type=click.IntRange(1), metavar="N", help="Tokens per minute."),
    LIMITS("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
           help="openai: of one request; default 600."),
    LIMITS("--retries", type=click.IntRange(0, 100), metavar="N",
           help=f"After a transient failure (429, 5xx, connection); default {RETRIES}."),
    LIMITS("--max-cost", type=click.FloatRange(0, min_open=True), metavar="USD",
           help="Send no more requests once the run has cost this much; exit code 3."),
    LIMITS("--max-total-tokens", type=click.IntRange(1), metavar="N",
           help="Send no more requests once the run has used N tokens; exit code 3."),
    LIMITS("--prices", type=click.Path(exists=True, dir_okay=False), metavar="FILE",
           help="Your own price table."),
    LIMITS("--dry-run", is_flag=True, help="Print an estimate of requests, tokens and cost; "
           "send no request."),
    STORAGE("--cache", metavar="FILE", help="Where completions are cached; default "
            "~/.cache/seqit/completions.sqlite."),
    STORAGE("--no-cache", is_flag=True, help="Cache nothing: a killed run starts from zero."),
]  # fmt: skip


def _options(defaults: SamplingDefaults) -> list[Callable[..., Any]]:
    temperature, top_p = defaults.help_texts
    return [
        MODEL("--temperature", type=click.FloatRange(0), help=temperature),
        MODEL("--top-p", type=click.FloatRange(0, 1), help=top_p),
        *_OPTIONS,
        STORAGE("--record", metavar="FILE", help="Write all requests and completions of the run "
                f"to FILE; {defaults.option} replay:FILE answers from it."),
    ]  # fmt: skip


def model_options_with(
    defaults: SamplingDefaults,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds the model options, passed on as `model: ModelOptions`."""

    def decorate(body: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(body)
        def command(*args: Any, **options: Any) -> None:
            given = {name: options.pop(name) for name in _NAMES}
            body(*args, model=ModelOptions(given, defaults), **options)

        for option in reversed(_options(defaults)):
            command = option(command)
        return command

    return decorate


model_options = model_options_with(TEACHER)


_NAMES = (
    *("temperature", "top_p", "top_k", "max_new_tokens", "no_structured", "base_url"),
    *("extra_body", "engine_arg", "batch_api", "wait", "max_concurrency", "rpm", "tpm"),
    *("timeout", "retries", "max_cost", "max_total_tokens", "prices", "dry_run", "cache"),
    *("no_cache", "record"),
)
_BACKENDS = {
    "base_url": ("openai",),
    "extra_body": ("openai",),
    "timeout": ("openai",),
    "batch_api": ("openai",),
    "wait": ("openai",),
    "max_concurrency": ("openai", "replay"),
    "engine_arg": ("vllm", "transformers"),
}
"""Options that only some backends have."""
_EXCLUSIVE = (
    ("cache", "no_cache"),
    ("batch_api", "no_cache"),  # submitted batches are stored in the cache
    ("batch_api", "rpm"),
    ("batch_api", "tpm"),
    ("batch_api", "max_concurrency"),
)


def _as_option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


@dataclass(frozen=True)
class ModelOptions:
    """The values of the model options."""

    given: dict[str, Any]  # by parameter name; None, False or () if it was not given
    defaults: SamplingDefaults = TEACHER

    def of_kind(self, kind: str, others: Collection[str]) -> "ModelOptions":
        """Return the options for one kind of backend, without those that only `others` have."""
        given = dict(self.given)
        for option, kinds in _BACKENDS.items():
            if kind not in kinds and not set(kinds).isdisjoint(others):
                given[option] = () if option == "engine_arg" else None
        return ModelOptions(given, self.defaults)

    @property
    def names(self) -> list[str]:
        """The options given on the command line, as in --top-k.

        Those set in the environment are not included: they apply to all runs, also to runs that
        call no model.
        """
        return [_as_option(name) for name in _NAMES if was_typed(name)]

    @contextmanager
    def open(
        self, name: str, notify: Callable[[str], None]
    ) -> Iterator[tuple["ModelClient", "Scheduler"]]:
        """Yield a client for the model KIND:MODEL, and its scheduler.

        `notify` receives messages for the user. Raises UsageError for options that exclude each
        other.
        """
        from seqit.llm.client import ModelClient
        from seqit.llm.scheduling.budget import Budget
        from seqit.llm.scheduling.rate_limit import RateLimiter
        from seqit.llm.scheduling.scheduler import Scheduler
        from seqit.llm.scheduling.sender import Sender

        given = self.given
        self._check(name)
        backend = self._backend(name, notify)
        concurrency = backend.capacity or given["max_concurrency"] or CONCURRENCY
        window = min(WINDOW * concurrency, MAX_WINDOW)
        if given["batch_api"]:
            concurrency = window = BATCH_WINDOW
        price = self.price(name)
        budget = Budget(given["max_cost"], given["max_total_tokens"], price, name.partition(":")[2])
        rate_limiter = RateLimiter(concurrency, given["rpm"], given["tpm"])
        with self._recording() as on_completion:
            cache = self._cache(backend.identity())
            retries = RETRIES if given["retries"] is None else given["retries"]
            sender: Sender[Any] = Sender(
                backend,
                cache=cache,
                rate_limiter=rate_limiter,
                budget=budget,
                retries=retries,
                on_completion=on_completion,
            )
            with Scheduler(sender, window, fill_window=given["batch_api"]) as scheduler:
                structured = backend.structured and not given["no_structured"]
                yield ModelClient(backend.name, structured, self.sampling, scheduler), scheduler

    @property
    def sampling(self) -> "Sampling":
        """The sampling of completions: the command's defaults, overridden by the options."""
        from seqit.llm.request import Sampling

        names = ("temperature", "top_p", "top_k", "max_new_tokens")
        given = {k: self.given[k] for k in names if self.given[k] is not None}
        temperature = given.get("temperature", self.defaults.temperature)
        defaults: dict[str, Any] = {"temperature": temperature, "top_p": self.defaults.top_p}
        if self.defaults.is_greedy and temperature == 0:
            defaults["top_p"] = None  # not used when greedy
        return Sampling(**defaults | given)

    def _check(self, name: str) -> None:
        kind = name.partition(":")[0]
        for option, kinds in _BACKENDS.items():
            if was_given(self.given[option]) and kind not in kinds:
                raise UsageError(f"{_as_option(option)} is for {' and '.join(kinds)}, not {kind}")
        for one, other in _EXCLUSIVE:
            if self.given[one] and self.given[other]:
                raise UsageError(f"{_as_option(one)} and {_as_option(other)} exclude each other")
        if self.given["wait"] and not self.given["batch_api"]:
            raise UsageError("--wait waits for the provider's batches: give --batch-api too")

    def _backend(self, name: str, notify: Callable[[str], None]) -> "Backend":
        from seqit.llm.registry import make_backend

        options = {k: self.given[k] for k in ("base_url", "extra_body", "timeout") if self.given[k]}
        if name.startswith("openai:"):
            options["structured"] = not self.given["no_structured"]
        if self.given["batch_api"]:
            options |= {"cache": self._cache_path(), "block": self.given["wait"]}
            options["notify"] = notify
        options |= self._engine_args(name.partition(":")[0])
        return make_backend(name, options, batch=self.given["batch_api"])

    def _engine_args(self, kind: str) -> dict[str, Any]:
        from seqit.llm.registry import parse_engine_args

        if not self.given["engine_arg"]:
            return {}
        pairs = [text.partition("=") for text in self.given["engine_arg"]]
        return parse_engine_args(kind, {key.strip(): value.strip() for key, _, value in pairs})

    def price(self, name: str) -> "Price | None":
        """Return the price of KIND:MODEL's tokens; None if the table does not list it."""
        from seqit.llm.scheduling.prices import Prices

        path = self.given["prices"]
        price = Prices.load(Path(path) if path else None).price_of(name.partition(":")[2])
        return price.halved() if price and self.given["batch_api"] else price

    def _cache_path(self) -> Path:
        from seqit.llm.cache.cache import default_cache_path

        return Path(self.given["cache"]) if self.given["cache"] else default_cache_path()

    def _cache(self, identity: dict[str, Any]) -> "Cache | None":
        from seqit.llm.cache.cache import Cache

        return None if self.given["no_cache"] else Cache(self._cache_path(), identity)

    @contextmanager
    def _recording(self) -> Iterator["Callable[[Request, Completion], None] | None"]:
        """Yield a function that writes completions to the file of --record; None without it."""
        import orjson

        from seqit.llm.providers.recording import recording_row
        from seqit.stores.targets import atomic_file

        if not self.given["record"]:
            yield None
            return
        with atomic_file(self.given["record"]) as file:

            def record(request: "Request", completion: "Completion") -> None:
                file.write(orjson.dumps(recording_row(request, completion)) + b"\n")

            yield record
