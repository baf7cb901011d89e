"""Word tables of VQA's official answer normalization, copied from its evaluation tool."""

_DIGITS = "zero one two three four five six seven eight nine ten"
NUMBERS = {word: str(value) for value, word in enumerate(_DIGITS.split())} | {"none": "0"}
ARTICLES = frozenset(("a", "an", "the"))

# "he'll" and "we're" are not in the list: without the apostrophe they are other words.
_CONTRACTED = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've
might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've
shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll
someone's something'd something'd've something'll that's there'd there'd've there're there's
they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's
won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""


def _drop_one_apostrophe(word: str) -> list[str]:
    positions = [position for position, char in enumerate(word) if char == "'"]
    return [word[:position] + word[position + 1 :] for position in positions]


CONTRACTIONS = {
    spelled: word for word in _CONTRACTED.split() for spelled in _drop_one_apostrophe(word)
} | {"somebody'd": "somebodyd"}
"""A word that lacks one of its apostrophes → the word; the last entry is as published."""
