"""The two roles of a test run: the candidate runs the answer's code, the tester the benchmark's.

They are two processes in separate sandboxes, so the answer's code can reach neither the tests nor
the result: all it can do is return values, which the tester compares.
"""

import builtins
from typing import Any

from seqit.evaluate.sandbox.worker.pipe import MessagePipe, PipeClosed, pack, unpack

_MAX_MESSAGE_LENGTH = 300  # characters of an error


class CandidateError(Exception):
    """Raised in the tester for an exception of the answer's code that is not a built-in one."""


def run_candidate(pipe: MessagePipe) -> None:
    """Load the program that is sent, then answer function calls until the pipe is closed."""
    pipe.send({"ready": True})
    job = pipe.receive()
    namespace: dict[str, Any] = {"__name__": "answer"}
    pipe.send(_outcome(lambda: _load(job, namespace)))
    while True:
        request = pipe.receive()
        pipe.send(_outcome(lambda: _call(namespace[job["entry_point"]], request)))  # noqa: B023


def _load(job: Any, namespace: dict[str, Any]) -> bool:
    exec(compile(job["source"], "<answer>", "exec"), namespace)  # noqa: S102 - the purpose
    return callable(namespace.get(job["entry_point"]))


def _call(function: Any, request: Any) -> Any:
    arguments, keywords = unpack(request["arguments"])
    return function(*arguments, **keywords)


def _outcome(work: Any) -> dict[str, Any]:
    try:
        return {"value": pack(work())}
    except BaseException as error:  # also SystemExit from the answer's code
        return {"error": type(error).__name__, "message": str(error)[:_MAX_MESSAGE_LENGTH]}


def run_tester(host: MessagePipe, candidate: MessagePipe) -> None:
    """Receive a job from seqit (`host`), and run its tests on the candidate's function.

    Sends {"started": true} to the host when both workers are isolated, then the result.
    """
    job = host.receive()
    ready = candidate.receive()
    if "broken" in ready:
        host.send(ready)
        return
    host.send({"started": True})
    host.send(_run_tests(job, candidate))


def _run_tests(job: Any, candidate: MessagePipe) -> dict[str, Any]:
    try:
        namespace = _load_tests(job)
    except Exception as error:
        return {"unusable": f"{type(error).__name__}: {str(error)[:_MAX_MESSAGE_LENGTH]}"}
    try:
        candidate.send({"source": job["source"], "entry_point": job["entry_point"]})
        if _unwrap(candidate.receive()) is not True:
            return _failed("no-function", f"the code does not define {job['entry_point']}")

        def function(*arguments: Any, **keywords: Any) -> Any:
            candidate.send({"arguments": pack((arguments, keywords))})
            return _unwrap(candidate.receive())

        namespace[job["entry_point"]] = function
        namespace["check"](function)
    except PipeClosed as error:
        return _failed("ended", str(error))
    except AssertionError as error:
        return _failed("wrong", str(error)[:_MAX_MESSAGE_LENGTH] or "a test does not hold")
    except BaseException as error:
        return _failed("error", f"{type(error).__name__}: {str(error)[:_MAX_MESSAGE_LENGTH]}")
    return {"passed": True}


def _failed(reason: str, message: str) -> dict[str, Any]:
    return {"passed": False, "reason": reason, "message": message}


def _load_tests(job: Any) -> dict[str, Any]:
    """Return the namespace of prompt and test; the test may use the prompt's functions."""
    prompt = job["prompt"]
    try:
        code = compile(prompt, "<prompt>", "exec")
    except SyntaxError:  # a function signature without a docstring
        code = compile(f"{prompt.rstrip()}\n    pass\n", "<prompt>", "exec")
    namespace: dict[str, Any] = {"__name__": "tests"}
    exec(code, namespace)  # noqa: S102 - the benchmark's code
    exec(compile(job["test"], "<test>", "exec"), namespace)  # noqa: S102 - the benchmark's code
    if not callable(namespace.get("check")):
        raise NameError("the test does not define check(candidate)")
    return namespace


def _unwrap(outcome: Any) -> Any:
    """Return the function's value, or raise its exception."""
    if not isinstance(outcome, dict):
        raise PipeClosed("the program sent what is no answer")
    if "error" not in outcome:
        return unpack(outcome.get("value"))
    name, message = str(outcome["error"]), str(outcome.get("message"))[:_MAX_MESSAGE_LENGTH]
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            error = kind(message)
        except TypeError:  # UnicodeDecodeError, for example, needs more arguments
            pass
        else:
            raise error
    raise CandidateError(f"{name}: {message}")
