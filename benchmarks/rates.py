"""How benchmarks measure and tell: sides take turns, one JSON line a peer."""

import json
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

Rates = dict[str, list[float]]  # of each side, per second, a round each


def measured(
    work: Mapping[str, tuple[Callable[[], object], float]], rounds: int, least: float = 0.0, warm: bool = True
) -> Rates:
    """Rates of each side: {name: (what it does, how many that is)}; again and again for `least` seconds a turn.

    A first round warms up and is dropped, unless `warm` is false.
    """
    found: Rates = {name: [] for name in work}
    for turn in range(not warm, rounds + 1):
        for name, (run, count) in work.items():
            times, began = 0, time.perf_counter()
            while not times or time.perf_counter() - began < least:
                run()
                times += 1
            if turn:
                found[name].append(times * count / (time.perf_counter() - began))
    return found


def tell(row: str, unit: str, rates: Rates, asked: float | None = None, **more: Any) -> None:
    """A line for every side but "ours": medians, least and most of both, and the ratio of the medians.

    `asked` is the ratio that the project wants; it is shown, and nothing depends on it.
    """
    ours = summary(rates["ours"])
    for name, each in rates.items():
        if name != "ours":
            peer = summary(each)
            ratio = round(ours["median"] / peer["median"], 3)
            about = {"row": row, "unit": unit, "ours": ours, "against": name, "peer": peer, "ratio": ratio}
            print(json.dumps(about | ({"asked": asked} if asked else {}) | more), flush=True)


def summary(rates: list[float]) -> dict[str, float]:
    found = {"median": statistics.median(rates), "min": min(rates), "max": max(rates)}
    return {name: float(f"{rate:.4g}") for name, rate in found.items()}
