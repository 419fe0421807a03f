"""The trigger word in captions and prompts, by the rule of src/recipes/trigger-word.ts: "desks" has no "sks"."""

import unicodedata

import regex

# Letters, their marks, digits and the underscore of tags make words, but not in scripts that put no space between words.
_unparted = "".join(rf"\p{{Script={script}}}" for script in ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar"))
_joining = rf"(?![{_unparted}])[\p{{L}}\p{{M}}\p{{N}}_]"


def put_in(text, trigger):
    """`text` with the word where it says `[trigger]`, as it is if it has the word, else behind the word."""
    text = text.strip()
    if trigger is None:
        return text.replace("[trigger]", "").strip()
    if "[trigger]" in text:
        return text.replace("[trigger]", trigger)
    if _has_word(text, trigger):
        return text
    return f"{trigger}, {text}" if text else trigger


def _has_word(text, word):
    text, word = unicodedata.normalize("NFC", text), unicodedata.normalize("NFC", word)
    before = rf"(?<!{_joining})" if regex.match(_joining, word) else ""
    after = rf"(?!{_joining})" if regex.match(_joining, word[-1]) else ""
    return regex.search(f"{before}{regex.escape(word)}{after}", text, regex.IGNORECASE) is not None
