"""What the charts of tasks and workers show: bars and lines, and the same in words and numbers. Pure."""

from __future__ import annotations

from monitor.pages import charts, text
from pool import activity, stats, units


def throughput(columns: list[stats.Column], window: str) -> charts.Chart:
    """Tasks that were finished, and that failed for good."""
    made = charts.Chart("Throughput", "", [], [])
    finished, failed = sum(each.finished for each in columns), sum(each.failed for each in columns)
    if not finished and not failed:
        made.summary = f"Nothing was finished in the last {window}."
        return made
    length = columns[1].at - columns[0].at if len(columns) > 1 else 60.0
    labels = [
        f"{text.clock(each.at, columns[-1].at)} UTC, {units.span(length)}: "
        f"{each.finished:,} finished, {each.failed:,} failed"
        for each in columns
    ]
    made.boxes, full = charts.stacked(
        [(each.finished, each.failed) for each in columns], ("bar", "bar wrong"), labels
    )
    best = max(columns, key=lambda each: each.finished)
    made.summary = (
        f"{finished:,} finished, {failed:,} failed in the last {window}; at most {best.finished:,} within "
        f"{units.span(length)}."
    )
    made.ys, made.xs = charts.scale(full), charts.moments(columns[0].at, columns[-1].at + length)
    made.legend = [("bar", "finished"), ("bar wrong", "failed")]
    made.head = ["From", "Submitted", "Finished", "Failed"]
    made.rows = [
        [each.at, f"{each.submitted:,}", f"{each.finished:,}", f"{each.failed:,}"]
        for each in reversed(columns)
    ]
    return made


def waiting(columns: list[stats.Column], window: str) -> charts.Chart:
    """How long tasks waited from when they could be claimed until they were."""
    made = charts.Chart("Waiting time", "", [], [])
    parts = (("median", "one"), ("p90", "two"), ("p99", "three"))
    series = [(name, kind, [getattr(each.waiting, name) for each in columns]) for name, kind in parts]
    made.lines, made.ys = charts.times(series)
    if not made.lines:
        made.summary = f"Nothing was claimed in the last {window}."
        return made
    length = columns[1].at - columns[0].at if len(columns) > 1 else 60.0
    worst = max((each for each in columns if each.waiting.count), key=lambda each: each.waiting.p90 or 0.0)
    last = next(each for each in reversed(columns) if each.waiting.count)
    made.summary = (
        f"Half of those claimed last waited no longer than {units.short(last.waiting.median)}; the worst "
        f"{units.span(length)} began at {text.clock(worst.at, columns[-1].at)} UTC: a tenth waited longer "
        f"than {units.short(worst.waiting.p90)}. The scale is logarithmic."
    )
    made.xs = charts.moments(columns[0].at, columns[-1].at + length)
    made.legend = [("one", "median"), ("two", "90%"), ("three", "99%")]
    made.head = ["From", "Claimed", "Median", "90%", "99%"]
    made.rows = [
        [each.at, f"{each.waiting.count:,}",
         *(units.short(getattr(each.waiting, name)) for name, _ in parts)]
        for each in reversed(columns) if each.waiting.count
    ]  # fmt: skip
    return made


def working(shares: list[activity.Share], window: str) -> charts.Chart:
    """What part of the workers was busy, and what part idle."""
    made = charts.Chart("What workers did", "", [], [])
    known = [each for each in shares if sum(each.means)]
    if not known:
        some = any(each.minutes for each in shares)
        made.summary = f"There was no worker in the last {window}." if some else "Nothing was counted yet."
        return made
    kinds = ("bar", "bar asks", "bar other", "bar idle")
    names, length = list(activity.KINDS), shares[1].at - shares[0].at if len(shares) > 1 else 60.0
    parts = [[mean / (sum(each.means) or 1.0) for mean in each.means] for each in shares]
    labels = [
        f"{text.clock(each.at, shares[-1].at)} UTC: "
        + (_parts(part, each) if each.minutes else "not counted")
        for each, part in zip(shares, parts, strict=True)
    ]
    made.boxes, _ = charts.stacked(parts, kinds, labels, top=1.0)
    sums = [sum(each.means[place] * each.minutes for each in known) for place in range(len(names))]
    shown = ", ".join(
        f"{name} {value / sum(sums):.0%}" for name, value in zip(names, sums, strict=True) if value
    )
    counted = sum(each.minutes for each in shares)
    made.summary = (
        f"Of the workers' time in the last {window}: {shown}. Counted once in each of {counted:,} minutes."
    )
    made.ys, made.xs = charts.scale(1.0, "percent"), charts.moments(shares[0].at, shares[-1].at + length)
    made.legend = [
        pair for pair, value in zip(zip(kinds, names, strict=True), sums, strict=True) if value > 0
    ]
    made.head = ["From", "Workers", *(name.capitalize() for name in names)]
    made.rows = [
        [each.at, f"{sum(each.means):.1f}", *(f"{part:.0%}" for part in row)]
        for each, row in zip(reversed(shares), reversed(parts), strict=True) if each.minutes
    ]  # fmt: skip
    return made


def _parts(part: list[float], each: activity.Share) -> str:
    """A column in words."""
    if not each.minutes:
        return "not counted"
    said = _percents(part)
    return f"{sum(each.means):.1f} workers" + (f": {said}" if said else "")


def _percents(part: list[float]) -> str:
    return ", ".join(f"{name} {value:.0%}" for name, value in zip(activity.KINDS, part, strict=True) if value)
