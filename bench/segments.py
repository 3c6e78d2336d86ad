"""Rule sets of any size over the generator's events: what the curve of segments is drawn from."""

from __future__ import annotations

from pathlib import Path

REFERENCE = Path(__file__).parents[1] / "examples" / "reference" / "reference.yaml"
_FILE_SEGMENTS = 100
"""keeps a file below the limit of its size"""
_EVENTS = ("product_view", "page_view", "add_to_cart", "purchase", "remove_from_cart", "open", "click", "sent")
LEAVES_SHARED = 16
"""different conditions in a set of segments that share them"""


def rules(segments: int, shared: bool = False) -> list[str]:
    """Files of YAML with so many segments in all. 4 that are not shared: the reference workload's own.

    Distinct: each segment has a condition that no other has. Shared: each joins two of LEAVES_SHARED conditions.
    """
    if segments == 4 and not shared:
        return [REFERENCE.read_text(encoding="utf-8")]
    whens = [_joined(i) if shared else _leaf(i) for i in range(segments)]
    documents = [f"segment: segment_{i:04}\nwhen: {when}\n" for i, when in enumerate(whens)]
    return ["---\n".join(documents[i : i + _FILE_SEGMENTS]) for i in range(0, segments, _FILE_SEGMENTS)]


def write(folder: Path, segments: int, shared: bool = False) -> Path:
    """The files in a new folder; returns it."""
    folder.mkdir(parents=True)
    for i, text in enumerate(rules(segments, shared)):
        (folder / f"rules-{i:02}.yaml").write_text(text, encoding="utf-8")
    return folder


def _leaf(i: int) -> str:
    """The i-th condition: counts of 8 events, at least 2, 3, ..., in the last 1 to 10 days."""
    event, rest = _EVENTS[i % len(_EVENTS)], i // len(_EVENTS)
    return f"count({event}) >= {2 + rest // 10} in the last {1 + rest % 10} days"


def _joined(i: int) -> str:
    pairs = [(a, b) for b in range(LEAVES_SHARED) for a in range(b)]
    a, b = pairs[i % len(pairs)]
    word = ("and", "or", "and not")[i // len(pairs) % 3]
    both = f"({_leaf(a)}) {word} ({_leaf(b)})"
    if i < 3 * len(pairs):
        return both
    return f"({both}) {('and', 'or')[i // len(pairs) // 3 % 2]} ({_leaf((a + b + 1) % LEAVES_SHARED)})"
