"""Signs that may stand between the digits of one number, for character classes of `re`."""

BLANK = r" \t\u00a0\u1680\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff"  # also of no width
DASH = r"\-\u00ad\u2010-\u2015\u2212\ufe58\ufe63\uff0d"  # hyphens, dashes, minus signs
DOT = r".\u00b7\u2024\uff0e"
PARENTHESES = r"()\uff08\uff09"
