"""The options of every command that asks a model, and the model that they describe."""

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
WINDOW, LARGEST_WINDOW = 32, 2048
"""Rows under way, for each request in flight and at most: a row that takes long, because its
request has to be sent again, does not hold back those after it."""
BATCH = 50_000
"""Rows under way with --batch: as many as the provider takes in one batch."""


class JsonObject(click.ParamType[Any]):
    """A JSON object given as text."""

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


ANSWERS = functools.partial(_option, "Asking a model")
LIMITS = functools.partial(_option, "Limits of asking")
KEEPING = functools.partial(_option, "Keeping completions")


class SamplingDefaults(NamedTuple):
    """How a command asks where nothing else was said, and which of its options names the model."""

    option: str
    temperature: float
    top_p: float

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0

    @property
    def told(self) -> tuple[str, str]:
        """What --help says of the temperature and of top-p."""
        if self.is_greedy:
            return "Default 0, which is greedy.", f"Default {self.top_p:g}; greedy, nothing."
        return f"Default {self.temperature:g}; 0 is greedy.", f"Default {self.top_p:g}."


TEACHER = SamplingDefaults("--teacher", 1.0, 0.9)
"""The paper's way to write and answer chains."""


_OPTIONS = [
    ANSWERS("--top-k", type=click.IntRange(1), metavar="N", help="Sample among N tokens; "
                   "default 50 in process, not sent to servers."),
    ANSWERS("--max-new-tokens", type=click.IntRange(1), metavar="N",
                   help="Tokens of one completion; default 2048."),
    ANSWERS("--no-structured", is_flag=True, help="Do not ask for answers by JSON Schema, "
                   "which not every server has; they are read from tags."),
    ANSWERS("--base-url", metavar="URL", help="openai: the server; default OPENAI_BASE_URL."),
    ANSWERS("--extra-body", type=JsonObject(), metavar="JSON",
                   help="openai: more keys of the request's body; null takes one out."),
    ANSWERS("--engine", multiple=True, metavar="NAME=VALUE",
                   help="vllm, transformers: such as tensor_parallel_size=4 or lora=PATH; "
            "may be repeated."),
    ANSWERS("--batch", is_flag=True, help="openai: by the provider's Batch API, which costs less: "
            "submit and leave; the same command again collects and goes on."),
    ANSWERS("--wait", is_flag=True, help="With --batch: stay until all is collected."),
    LIMITS("--max-concurrency", type=click.IntRange(1, 4096), metavar="N",
                  help=f"openai: requests in flight; default {CONCURRENCY}. Fewer while the server "
                  "says that it has too many."),
    LIMITS("--rpm", type=click.IntRange(1), metavar="N", help="Requests a minute."),
    LIMITS("--tpm", type=click.IntRange(1), metavar="N", help="Tokens a minute."),
    LIMITS("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
                  help="openai: of one request; default 600."),
    LIMITS("--retries", type=click.IntRange(0, 100), metavar="N",
                  help=f"After a failure that may pass (429, 5xx, connection); default {RETRIES}."),
    LIMITS("--max-cost", type=click.FloatRange(0, min_open=True), metavar="USD",
                  help="Ask no more once the run has cost so much; exit code 3."),
    LIMITS("--max-tokens", type=click.IntRange(1), metavar="N",
                  help="Ask no more once the run has used so many tokens; exit code 3."),
    LIMITS("--prices", type=click.Path(exists=True, dir_okay=False), metavar="FILE",
                  help="A price table of your own."),
    LIMITS("--dry-run", is_flag=True, help="Print an estimate of requests, tokens and cost, "
                  "and ask nothing."),
    KEEPING("--cache", metavar="FILE", help="Where completions are kept; default "
                   "~/.cache/seqit/completions.sqlite."),
    KEEPING("--no-cache", is_flag=True, help="Keep no completions: a killed run is lost."),
]  # fmt: skip


def _options(manner: SamplingDefaults) -> list[Callable[..., Any]]:
    temperature, top_p = manner.told
    return [
        ANSWERS("--temperature", type=click.FloatRange(0), help=temperature),
        ANSWERS("--top-p", type=click.FloatRange(0, 1), help=top_p),
        *_OPTIONS,
        KEEPING("--record", metavar="FILE", help="Write all requests and completions of the run "
                f"to FILE; {manner.option} replay:FILE answers from it."),
    ]  # fmt: skip


def asking_options(
    manner: SamplingDefaults,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of asking a model; it gets them as `model`, a ModelOptions."""

    def decorate(body: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(body)
        def command(*args: Any, **options: Any) -> None:
            given = {name: options.pop(name) for name in _NAMES}
            body(*args, model=ModelOptions(given, manner), **options)

        for option in reversed(_options(manner)):
            command = option(command)
        return command

    return decorate


model_options = asking_options(TEACHER)


_NAMES = (
    *("temperature", "top_p", "top_k", "max_new_tokens", "no_structured", "base_url"),
    *("extra_body", "engine", "batch", "wait", "max_concurrency", "rpm", "tpm", "timeout"),
    *("retries", "max_cost", "max_tokens", "prices", "dry_run", "cache", "no_cache", "record"),
)
_KINDS = {
    "base_url": ("openai",),
    "extra_body": ("openai",),
    "timeout": ("openai",),
    "batch": ("openai",),
    "wait": ("openai",),
    "max_concurrency": ("openai", "replay"),
    "engine": ("vllm", "transformers"),
}
"""Options that not every kind of backend takes."""
_CONTRADICTIONS = (
    ("cache", "no_cache"),
    ("batch", "no_cache"),  # what was submitted is kept beside the completions
    ("batch", "rpm"),
    ("batch", "tpm"),
    ("batch", "max_concurrency"),
)


@dataclass(frozen=True)
class ModelOptions:
    """How a model is asked: what the command line says of it."""

    given: dict[str, Any]  # by parameter name; what was not given is None, False or ()
    manner: SamplingDefaults = TEACHER

    def of_kind(self, kind: str, others: Collection[str]) -> "ModelOptions":
        """Return the options for a model of one kind, without those for the `others` alone."""
        given = dict(self.given)
        for option, kinds in _KINDS.items():
            if kind not in kinds and not set(kinds).isdisjoint(others):
                given[option] = () if option == "engine" else None
        return ModelOptions(given, self.manner)

    @property
    def names(self) -> list[str]:
        """The options that were given on the command line, as they are written.

        Those of the environment stand there for all runs, also for those that ask no model.
        """
        return [f"--{name.replace('_', '-')}" for name in _NAMES if was_typed(name)]

    @contextmanager
    def open(
        self, name: str, tell: Callable[[str], None]
    ) -> Iterator[tuple["ModelClient", "Scheduler"]]:
        """Give the model KIND:MODEL, ready to be asked, and its dispatcher.

        `tell` is told what a person should know while it works. Raises UsageError for options
        that do not go together.
        """
        from seqit.llm.client import ModelClient
        from seqit.llm.scheduling.budget import Budget
        from seqit.llm.scheduling.rate_limit import RateLimiter
        from seqit.llm.scheduling.scheduler import Scheduler
        from seqit.llm.scheduling.sender import Sender

        given = self.given
        self._check(name)
        backend = self._backend(name, tell)
        most = backend.capacity or given["max_concurrency"] or CONCURRENCY
        most = BATCH if given["batch"] else most
        price = self.price(name)
        budget = Budget(given["max_cost"], given["max_tokens"], price, name.partition(":")[2])
        pace = RateLimiter(most, given["rpm"], given["tpm"])
        with self._recording() as record:
            cache = self._cache(backend.identity())
            retries = RETRIES if given["retries"] is None else given["retries"]
            sender: Sender[Any] = Sender(
                backend, cache=cache, pace=pace, budget=budget, retries=retries, record=record
            )
            window = BATCH if given["batch"] else min(WINDOW * most, LARGEST_WINDOW)
            with Scheduler(sender, window, gather=given["batch"]) as scheduler:
                structured = backend.structured and not given["no_structured"]
                yield ModelClient(backend.name, structured, self.sampling, scheduler), scheduler

    @property
    def sampling(self) -> "Sampling":
        """How answers are drawn; the paper's way where nothing else was said."""
        from seqit.llm.request import Sampling

        names = ("temperature", "top_p", "top_k", "max_new_tokens")
        given = {k: self.given[k] for k in names if self.given[k] is not None}
        temperature = given.get("temperature", self.manner.temperature)
        chosen: dict[str, Any] = {"temperature": temperature, "top_p": self.manner.top_p}
        if self.manner.is_greedy and temperature == 0:
            chosen["top_p"] = None  # there is nothing to cut
        return Sampling(**chosen | given)

    def _check(self, name: str) -> None:
        kind = name.partition(":")[0]
        for option, kinds in _KINDS.items():
            if was_given(self.given[option]) and kind not in kinds:
                shown = option.replace("_", "-")
                raise UsageError(f"--{shown} belongs to {' and '.join(kinds)}, not to {kind}")
        for one, other in _CONTRADICTIONS:
            if self.given[one] and self.given[other]:
                raise UsageError(f"--{one} and --{other.replace('_', '-')} contradict each other")
        if self.given["wait"] and not self.given["batch"]:
            raise UsageError("--wait waits for the provider's batches: it goes with --batch")

    def _backend(self, name: str, tell: Callable[[str], None]) -> "Backend":
        from seqit.llm.registry import make_backend

        options = {k: self.given[k] for k in ("base_url", "extra_body", "timeout") if self.given[k]}
        if name.startswith("openai:"):
            options["structured"] = not self.given["no_structured"]
        if self.given["batch"]:
            options |= {"cache": self._cache_path(), "stay": self.given["wait"], "tell": tell}
        options |= self._engine(name.partition(":")[0])
        return make_backend(name, options, batch=self.given["batch"])

    def _engine(self, kind: str) -> dict[str, Any]:
        from seqit.llm.registry import engine_options

        if not self.given["engine"]:
            return {}
        pairs = [text.partition("=") for text in self.given["engine"]]
        return engine_options(kind, {key.strip(): value.strip() for key, _, value in pairs})

    def price(self, name: str) -> "Price | None":
        """Return what the tokens of KIND:MODEL cost, where the table tells."""
        from seqit.llm.scheduling.prices import Prices

        path = self.given["prices"]
        price = Prices.load(Path(path) if path else None).price_of(name.partition(":")[2])
        return price.halved() if price and self.given["batch"] else price

    def _cache_path(self) -> Path:
        from seqit.llm.cache.cache import default_path

        return Path(self.given["cache"]) if self.given["cache"] else default_path()

    def _cache(self, identity: dict[str, Any]) -> "Cache | None":
        from seqit.llm.cache.cache import Cache

        return None if self.given["no_cache"] else Cache(self._cache_path(), identity)

    @contextmanager
    def _recording(self) -> Iterator["Callable[[Request, Completion], None] | None"]:
        """Give what writes each completion to the file of --record."""
        import orjson

        from seqit.llm.providers.recording import recording
        from seqit.stores.targets import whole_file

        if not self.given["record"]:
            yield None
            return
        with whole_file(self.given["record"]) as file:

            def record(request: "Request", completion: "Completion") -> None:
                file.write(orjson.dumps(recording(request, completion)) + b"\n")

            yield record
