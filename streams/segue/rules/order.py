"""Segments of segments: who comes before whom, and circles. Not recursive: a chain may be 10,000 long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def ordered(uses: Mapping[str, Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Names so that those a segment uses stand before it, otherwise by name; and the circles found.

    `uses` maps each segment to the segments it names, all of them keys. A circle is the list of its members
    beginning with the first by name; each of them uses the next, the last uses the first.
    """
    order: list[str] = []
    circles: list[list[str]] = []
    done: set[str] = set()
    for root in sorted(uses):
        if root in done:
            continue
        path = [root]
        on_path = {root: 0}
        waiting = [iter(sorted(set(uses[root])))]
        while path:
            name = next(waiting[-1], None)
            if name is None:
                waiting.pop()
                finished = path.pop()
                del on_path[finished]
                done.add(finished)
                order.append(finished)
            elif name in on_path:
                circle = path[on_path[name] :]
                first = circle.index(min(circle))
                circles.append(circle[first:] + circle[:first])
            elif name not in done:
                on_path[name] = len(path)
                path.append(name)
                waiting.append(iter(sorted(set(uses[name]))))
    return order, circles
