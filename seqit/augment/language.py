"""Detect the language of a text from its script and its most common words.

Coarse on purpose: it finds answers that are clearly in a wrong language, and reports nothing if
it is not sure.
"""

import re
import unicodedata
from collections import Counter

# ISO 639-1 codes.
_NAMES = {
    "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "fa": "Persian", "fi": "Finnish",
    "fr": "French", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian", "id": "Indonesian",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "no": "Norwegian",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish",
    "sw": "Swahili", "te": "Telugu", "th": "Thai", "tr": "Turkish",  # codespell:ignore te
    "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip

# Scripts by the names that Unicode gives their letters; languages not listed use Latin script.
_SCRIPTS = {
    code: frozenset(scripts.split())
    for codes, scripts in {
        "ar fa ur ps sd ug": "ARABIC",
        "be bg kk ky mk mn ru tg uk": "CYRILLIC",
        "sr": "CYRILLIC LATIN",
        "zh": "CJK",
        "ja": "CJK HIRAGANA KATAKANA KATAKANA-HIRAGANA",
        "ko": "HANGUL CJK",
        "hi mr ne sa": "DEVANAGARI",
        "bn as": "BENGALI",
        "el": "GREEK",
        "he yi": "HEBREW",
        "th": "THAI",
        "ta": "TAMIL",
        "te": "TELUGU",
        "ml": "MALAYALAM",
        "kn": "KANNADA",
        "gu": "GUJARATI",
        "pa": "GURMUKHI ARABIC",
        "ka": "GEORGIAN",
        "hy": "ARMENIAN",
        "am ti": "ETHIOPIC",
        "my": "MYANMAR",
        "km": "KHMER",
        "lo": "LAO",
        "si": "SINHALA",
    }.items()
    for code in codes.split()
}
_LATIN = frozenset({"LATIN"})
_MIN_SCRIPT_SHARE = 0.3
"""Share of letters in the language's script; the rest may be names, terms and quotations."""

# Common words; a word that two languages share is listed for both, so it favours neither.
_COMMON = {
    "en": "the of and to at in is are with what which that how this for from you your it was by",
    "de": "der die das und ist nicht ein eine einen den dem zu mit wie auf für von im in sie wird"
    " was",
    "es": "el los las y es una para por con qué del como cómo cuál su más lo está este al que en la"
    " de se un no",
    "fr": "le les des et est une dans pour que qui du avec ce cette vous sur par au quelle de la en"
    " se un ne",
    "it": "il gli di e è una per con che della nel sono come questo più quale dei delle si alla la"
    " un non in se",
    "nl": "het een van en is niet dat met voor op zijn wat hoe aan deze wordt bij naar uit ook de"
    " in of was die",
    "pl": "i w na z nie się jest do to co jak od dla który oraz czy ile przez po są",
    "pt": "o os as e é uma para com não do da em no na dos qual você mais foi como de que se um"
    " por",
}
_WORDS = {code: frozenset(words.split()) for code, words in _COMMON.items()}
_WORD = re.compile(r"[^\W\d_]+")

_NOT_PROSE = re.compile(
    r"```.*?```|`[^`\n]*`|(?:https?://|www\.)\S+|[\w.+-]+@[\w-]+\.[\w.]+|\{\{?\w*\}?\}|</?\w[^<>]*>",
    re.DOTALL,
)


def language_name(code: str) -> str:
    """Return the English name of a language (ISO 639-1); the code itself if it is not listed."""
    return _NAMES.get(code, code)


def prose(text: str) -> str:
    """Return the text without code, links, markup and slots, which belong to no language."""
    return _NOT_PROSE.sub(" ", text)


def wrong_language(text: str, code: str) -> str | None:
    """Return a problem message if the text is clearly not in the language with this code."""
    if problem := _wrong_script(text, code):
        return problem
    found = detect_language(text)
    if code in _WORDS and found not in ("", code):
        return f"it is in {language_name(found)} and not in {language_name(code)}"
    return None


def differing_language(text: str, other: str) -> str | None:
    """Return a problem message if two texts are clearly in different languages."""
    ours, theirs = _letters(text), _letters(other)
    if ours and theirs and ours.most_common(1)[0][0] != theirs.most_common(1)[0][0]:
        return "it is in another script than the original"
    found, wanted = detect_language(text), detect_language(other)
    if found and wanted and found != wanted:
        return f"it is in {language_name(found)}, and the original in {language_name(wanted)}"
    return None


def detect_language(text: str) -> str:
    """Return the code of the language whose common words clearly dominate; empty if unclear."""
    found = [word.casefold() for word in _WORD.findall(prose(text))]
    counts = Counter({code: sum(w in words for w in found) for code, words in _WORDS.items()})
    (best, count), (_, next_count) = counts.most_common(2)
    return best if count >= 3 and count >= 2 * next_count else ""


def _wrong_script(text: str, code: str) -> str | None:
    """Return a problem message if too little of the text is in the language's script."""
    letters = _letters(text)
    letters["CJK"] *= 3  # one character carries as much as about three letters
    wanted = _SCRIPTS.get(code, _LATIN)
    if sum(letters[script] for script in wanted) >= _MIN_SCRIPT_SHARE * letters.total():
        return None
    return f"it is not in the script of {language_name(code)}"


def _letters(text: str) -> Counter[str]:
    """Count the letters of the text's prose by script."""
    return Counter(_script(each) for each in prose(text) if each.isalpha())


def _script(letter: str) -> str:
    return "LATIN" if letter.isascii() else unicodedata.name(letter, "UNKNOWN").split()[0]
