"""What becomes of each document once the groups of duplicates are known: its split, or a reason.

All arrays have one entry a document of the corpus. In a group the first document stays, and its
text alone decides the split, so that a group never straddles two and another document moves none.
Published splits are kept as they are: within train later ones of a group are dropped, in valid and
test nothing is, and what train has in common with them is counted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reprise.duplicates import Documents, Groups
from reprise.overlap import OUT, SharedRuns
from reprise.params.clean import CleanParams
from reprise.shard_cleaning import DRAWN, CleanShard
from reprise.splits import TEST, TRAIN, VALID

Mask = npt.NDArray[np.bool_]

STAYS, EXACT_DUPLICATE, NEAR_DUPLICATE, OUTSIDE_FRACTION = range(4)
LATE_REASONS = ("exact_duplicate", "near_duplicate", "outside_fraction")
PAIRS_TOLD = 20


@dataclass(frozen=True)
class Candidates:
    """The documents that the rules let through."""

    published: npt.NDArray[np.uint8]  # the split that was published, or DRAWN
    draws: npt.NDArray[np.uint8]  # the split that each text would fall to by itself
    in_fraction: Mask

    @classmethod
    def none(cls) -> "Candidates":
        return cls(np.zeros(0, np.uint8), np.zeros(0, np.uint8), np.zeros(0, bool))

    @classmethod
    def of(cls, shard: CleanShard) -> "Candidates":
        published = np.full(len(shard.draws), shard.published, np.uint8)
        return cls(published, shard.draws, shard.in_fraction)

    @classmethod
    def joined(cls, parts: "Sequence[Candidates]") -> "Candidates":
        return cls(
            np.concatenate([part.published for part in parts]),
            np.concatenate([part.draws for part in parts]),
            np.concatenate([part.in_fraction for part in parts]),
        )


@dataclass(frozen=True)
class Members:
    """The documents that share a group with others, and the firsts of their groups."""

    documents: Documents
    equal: Documents
    alike: Documents


@dataclass(frozen=True)
class Settlement:
    splits: npt.NDArray[np.uint8]  # TRAIN, VALID, TEST or OUT
    reasons: npt.NDArray[np.uint8]  # STAYS, or why it was dropped
    members: Members
    clusters: int  # groups with different texts in them


def settle(
    candidates: Candidates, groups: tuple[Groups, Groups], params: CleanParams
) -> Settlement:
    """Decide on every document; `groups` of equal texts, and of equal or similar ones."""
    published, draws = _completed(candidates)
    documents = groups[1].members()
    members = Members(documents, *(kind.firsts(documents) for kind in groups))
    splits = np.where(published == DRAWN, draws, published).astype(np.uint8)
    reasons = np.zeros(len(splits), np.uint8)

    drawn = published[documents] == DRAWN
    leaders = members.alike[drawn]
    follow = published[leaders] == DRAWN
    splits[documents[drawn][follow]] = draws[leaders[follow]]

    kind = published[documents]
    may_go = (kind == DRAWN) | (kind == TRAIN)
    if params.drop_exact_duplicates:
        reasons[documents[may_go & _repeats(members.equal, kind)]] = EXACT_DUPLICATE
    if params.near_duplicates == "drop":
        later = documents[may_go & _repeats(members.alike, kind)]
        reasons[later[reasons[later] == STAYS]] = NEAR_DUPLICATE
    reasons[(reasons == STAYS) & (splits == TRAIN) & ~candidates.in_fraction] = OUTSIDE_FRACTION
    splits[reasons != STAYS] = OUT
    return Settlement(splits, reasons, members, _clusters(members))


def _completed(candidates: Candidates) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Where train was published but valid or test was not, that one is drawn from train."""
    published, draws = candidates.published, candidates.draws
    there = set(np.unique(published).tolist())
    if TRAIN not in there or {VALID, TEST} <= there:
        return published, draws
    from_train = published == TRAIN
    taken = from_train & np.isin(draws, [split for split in (VALID, TEST) if split in there])
    return (
        np.where(from_train, DRAWN, published).astype(np.uint8),
        np.where(taken, TRAIN, draws).astype(np.uint8),
    )


def _repeats(groups: Documents, kinds: npt.NDArray[np.uint8]) -> Mask:
    """True where an earlier document has the same group and kind."""
    _, first = np.unique(groups * (DRAWN + 1) + kinds, return_index=True)
    repeats = np.ones(len(groups), bool)
    repeats[first] = False
    return repeats


def _clusters(members: Members) -> int:
    pairs = np.unique(np.stack([members.alike, members.equal]), axis=1)
    return int((np.unique(pairs[0], return_counts=True)[1] > 1).sum())


@dataclass(frozen=True)
class Overlap:
    """What a split has in common with train."""

    documents: int
    exact: dict[int, int]  # document: one of train that is equal
    near: dict[int, int]  # document: one of train in the same group
    copied: dict[int, int]  # document: one of train that shares a run; nearly all runs are shared
    documents_with_shared_ngrams: int
    ngrams: int
    shared_ngrams: int

    @property
    def overlapping(self) -> int:
        return len(self.exact) + len(self.near) + len(self.copied)

    @property
    def fraction(self) -> float:
        return self.overlapping / max(self.documents, 1)

    def pairs(self) -> Iterator[tuple[str, int, int]]:
        for kind in ("exact", "near", "copied"):
            for document, other in getattr(self, kind).items():
                yield kind, document, other

    def figures(self) -> dict[str, Any]:
        return {
            "documents": self.documents,
            "exact_duplicates": len(self.exact),
            "near_duplicates": len(self.near),
            "documents_with_shared_ngrams": self.documents_with_shared_ngrams,
            "ngrams": self.ngrams,
            "shared_ngrams": self.shared_ngrams,
            "overlapping_documents": self.overlapping,
            "overlap": round(self.fraction, 6),
        }


def overlap_of(
    split: int, settlement: Settlement, runs: SharedRuns, least_shared: float
) -> Overlap:
    """`least_shared`: from this share of its runs on, a document counts as copied."""
    splits, members = settlement.splits, settlement.members
    in_train = splits[members.documents] == TRAIN
    here = splits[members.documents] == split
    exact = _first_partners(members.documents, members.equal, here, in_train)
    alike = _first_partners(members.documents, members.alike, here, in_train)
    near = {document: other for document, other in alike.items() if document not in exact}
    own = splits[runs.documents] == split
    shared = runs.shared[own]
    copied = own & (runs.shared >= least_shared * runs.runs) & (runs.shared > 0)
    return Overlap(
        documents=int((splits == split).sum()),
        exact=exact,
        near=near,
        copied={
            document: other
            for document, other in zip(
                runs.documents[copied].tolist(), runs.witnesses[copied].tolist(), strict=True
            )
            if document not in alike
        },
        documents_with_shared_ngrams=int((shared > 0).sum()),
        ngrams=int(runs.runs[own].sum()),
        shared_ngrams=int(shared.sum()),
    )


def _first_partners(
    documents: Documents, groups: Documents, here: Mask, in_train: Mask
) -> dict[int, int]:
    """For each document here whose group reaches into train, the first of train in it."""
    train_groups, first = np.unique(groups[in_train], return_index=True)
    found = here & np.isin(groups, train_groups)
    places = np.searchsorted(train_groups, groups[found])
    partners = documents[in_train][first][places]
    return dict(zip(documents[found].tolist(), partners.tolist(), strict=True))
