"""The two sides of a test: the candidate runs the answer's code, the tester the benchmark's.

They are two processes in two cells. So the code that is judged has neither the tests nor the
verdict in reach: all it can do is to return values, which the tester compares.
"""

import builtins
from typing import Any

from seqit.evaluate.sandbox.worker.pipe import MessagePipe, PipeClosed, pack, unpack

_MOST_SAID = 300  # characters of an error


class CandidateError(Exception):
    """An error of the answer's code that is of no built-in kind."""


def candidate(wire: MessagePipe) -> None:
    """Load the program that is sent, then answer calls until nobody asks."""
    wire.send({"ready": True})
    job = wire.receive()
    namespace: dict[str, Any] = {"__name__": "answer"}
    wire.send(_outcome(lambda: _load(job, namespace)))
    while True:
        request = wire.receive()
        wire.send(_outcome(lambda: _call(namespace[job["entry_point"]], request)))  # noqa: B023


def _load(job: Any, namespace: dict[str, Any]) -> bool:
    exec(compile(job["source"], "<answer>", "exec"), namespace)  # noqa: S102 - its purpose
    return callable(namespace.get(job["entry_point"]))


def _call(function: Any, request: Any) -> Any:
    arguments, named = unpack(request["arguments"])
    return function(*arguments, **named)


def _outcome(work: Any) -> dict[str, Any]:
    try:
        return {"value": pack(work())}
    except BaseException as error:  # sys.exit in the answer's code is one, too
        return {"error": type(error).__name__, "message": str(error)[:_MOST_SAID]}


def tester(seqit: MessagePipe, other: MessagePipe) -> None:
    """Run the tests of the job that seqit sends on the function in the other cell; say how it was.

    Sent back are {"started": true} when both cells are shut, and at the end a verdict.
    """
    job = seqit.receive()
    ready = other.receive()
    if "broken" in ready:
        seqit.send(ready)
        return
    seqit.send({"started": True})
    seqit.send(_verdict(job, other))


def _verdict(job: Any, other: MessagePipe) -> dict[str, Any]:
    try:
        namespace = _tests(job)
    except Exception as error:
        return {"unusable": f"{type(error).__name__}: {str(error)[:_MOST_SAID]}"}
    try:
        other.send({"source": job["source"], "entry_point": job["entry_point"]})
        if _value(other.receive()) is not True:
            return _failed("no-function", f"the code does not define {job['entry_point']}")

        def function(*arguments: Any, **named: Any) -> Any:
            other.send({"arguments": pack((arguments, named))})
            return _value(other.receive())

        namespace[job["entry_point"]] = function
        namespace["check"](function)
    except PipeClosed as error:
        return _failed("ended", str(error))
    except AssertionError as error:
        return _failed("wrong", str(error)[:_MOST_SAID] or "a test does not hold")
    except BaseException as error:
        return _failed("error", f"{type(error).__name__}: {str(error)[:_MOST_SAID]}")
    return {"passed": True}


def _failed(reason: str, message: str) -> dict[str, Any]:
    return {"passed": False, "reason": reason, "message": message}


def _tests(job: Any) -> dict[str, Any]:
    """Return the names of prompt and tests; the prompt's functions may be used by the tests."""
    prompt = job["prompt"]
    try:
        code = compile(prompt, "<prompt>", "exec")
    except SyntaxError:  # a head without a description
        code = compile(f"{prompt.rstrip()}\n    pass\n", "<prompt>", "exec")
    namespace: dict[str, Any] = {"__name__": "tests"}
    exec(code, namespace)  # noqa: S102 - the benchmark's own
    exec(compile(job["test"], "<test>", "exec"), namespace)  # noqa: S102 - the benchmark's own
    if not callable(namespace.get("check")):
        raise NameError("the test does not define check(candidate)")
    return namespace


def _value(outcome: Any) -> Any:
    """Return what the function returned, or raise what it raised."""
    if not isinstance(outcome, dict):
        raise PipeClosed("the program sent what is no answer")
    if "error" not in outcome:
        return unpack(outcome.get("value"))
    name, message = str(outcome["error"]), str(outcome.get("message"))[:_MOST_SAID]
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            error = kind(message)
        except TypeError:  # UnicodeDecodeError and the like take more
            pass
        else:
            raise error
    raise CandidateError(f"{name}: {message}")
