"""Which language a text is in, as far as its script and its commonest words tell.

Coarse on purpose: it finds answers in a plainly wrong language, and is silent where in doubt.
"""

import re
import unicodedata
from collections import Counter

# Scripts as Unicode names their letters; a language that is not here is written in Latin script.
_NAMES = {
    "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "fa": "Persian", "fi": "Finnish",
    "fr": "French", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian", "id": "Indonesian",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "no": "Norwegian",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish",
    "sw": "Swahili", "te": "Telugu", "th": "Thai", "tr": "Turkish",  # codespell:ignore te
    "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip

# Scripts as Unicode names their letters; a language that is not here is written in Latin script.
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
_LEAST = 0.3
"""The share of letters in the language's script; the others are names, terms and quotations."""

# Common words; what two languages share stands in both, and so tells neither from the other.
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
    """Return the English name of a language (ISO 639-1); the code itself if it is not common."""
    return _NAMES.get(code, code)


def prose(text: str) -> str:
    """Return the text without code, links, markup and slots: what has a language at all."""
    return _NOT_PROSE.sub(" ", text)


def wrong_language(text: str, code: str) -> str | None:
    """Return what is wrong where the text is plainly not in the language with this code."""
    if problem := _wrong_script(text, code):
        return problem
    found = reads_as(text)
    if code in _WORDS and found not in ("", code):
        return f"it is in {language_name(found)} and not in {language_name(code)}"
    return None


def differing_language(text: str, other: str) -> str | None:
    """Return what is wrong where two texts are plainly in different languages."""
    ours, theirs = _letters(text), _letters(other)
    if ours and theirs and ours.most_common(1)[0][0] != theirs.most_common(1)[0][0]:
        return "it is in another script than the original"
    found, wanted = reads_as(text), reads_as(other)
    if found and wanted and found != wanted:
        return f"it is in {language_name(found)}, and the original in {language_name(wanted)}"
    return None


def reads_as(text: str) -> str:
    """Return the code of the language whose common words clearly prevail; empty in doubt."""
    said = [word.casefold() for word in _WORD.findall(prose(text))]
    counts = Counter({code: sum(w in words for w in said) for code, words in _WORDS.items()})
    (best, most), (_, next_most) = counts.most_common(2)
    return best if most >= 3 and most >= 2 * next_most else ""


def _wrong_script(text: str, code: str) -> str | None:
    """Return what is wrong where too little of the text is in the language's script."""
    letters = _letters(text)
    letters["CJK"] *= 3  # one character says as much as three letters
    wanted = _SCRIPTS.get(code, _LATIN)
    if sum(letters[script] for script in wanted) >= _LEAST * letters.total():
        return None
    return f"it is not in the script of {language_name(code)}"


def _letters(text: str) -> Counter[str]:
    """Count the letters of the prose by their script."""
    return Counter(_script(each) for each in prose(text) if each.isalpha())


def _script(letter: str) -> str:
    return "LATIN" if letter.isascii() else unicodedata.name(letter, "UNKNOWN").split()[0]
