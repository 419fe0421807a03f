"""How much of the captions an encoder reads."""

from . import report

most_named = 3


def warn_of_long_captions(pairs, tokenizer, most, family):
    """Names those with more than `most` tokens, beside the two at the ends: what lies beyond isn't trained."""
    lengths = [len(tokenizer(pair.caption, truncation=False, verbose=False).input_ids) - 2 for pair in pairs]
    long = [f"{pair.file.name} ({length})" for pair, length in zip(pairs, lengths) if length > most]
    if not long:
        return
    others = f" and {len(long) - most_named} more" if len(long) > most_named else ""
    report.warning(
        f"Captions of more than {most} tokens, of which {family} reads no more: {', '.join(long[:most_named])}{others}. "
        "The rest of each is not trained."
    )
