"""DataFrame in, DataFrame out: what charts need that the API does not send."""

from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

from spanwell_dashboard.client import Scope
from spanwell_dashboard.colors import OTHER_NAME
from spanwell_dashboard.untrusted import MAX_LABEL_CHARS, plain

MAX_GROUPS: Final = 6
COMPARABLE_SHARE: Final = 0.02  # a window with fewer of the requests than this says nothing about change
SCORE_BUCKETS: Final = 40


class Windows(NamedTuple):
    """The totals of the window, and of the one before it: all missing where too little happened to compare with."""

    now: pd.Series
    before: pd.Series


def windows(totals: pd.DataFrame) -> Windows | None:
    """What `GET /overview` says; None when the window has no request."""
    rows = {str(row["window"]): row for _, row in totals.iterrows()}
    if "current" not in rows or not rows["current"]["requests"]:
        return None
    now, before = rows["current"], rows["previous"]
    thin = before["requests"] < now["requests"] * COMPARABLE_SHARE
    return Windows(now, pd.Series(float("nan"), index=before.index) if thin else before)


def localised(frame: pd.DataFrame, zone: str | None) -> pd.DataFrame:
    """Times (column or index `ts`) as wall-clock times of the viewer: charts and tables know no zones."""
    if frame.empty:
        return frame
    if frame.index.name == "ts":
        return frame.set_index(_wall_clock(frame.index.to_series(), zone).to_numpy()).rename_axis("ts")
    return frame.assign(ts=_wall_clock(frame["ts"], zone))


def _wall_clock(times: pd.Series, zone: str | None) -> pd.Series:
    try:
        known = ZoneInfo(zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):  # the browser names its zone, and may name anything
        known = ZoneInfo("UTC")
    local: pd.Series = times.dt.tz_convert(known).dt.tz_localize(None)
    return local


def bucket_width(frame: pd.DataFrame) -> pd.Timedelta:
    """The width of a bucket: what the API said, or the smallest step between two."""
    if seconds := frame.attrs.get("bucket_seconds"):
        return pd.Timedelta(seconds=seconds)
    steps = pd.Series(sorted(frame["ts"].unique())).diff().dropna()
    return pd.Timedelta(steps.min()) if len(steps) else pd.Timedelta(minutes=1)


def filled(frame: pd.DataFrame, scope: Scope, counts: tuple[str, ...] = ()) -> pd.DataFrame:
    """Every bucket of the window as a row, those without traffic too: zero for `counts`, missing for the rest.

    So a line does not bridge a gap, and a chart shows the window that was asked for.
    """
    if frame.empty:
        return frame
    width, first = bucket_width(frame), frame["ts"].min()
    before = max(int((first - pd.Timestamp(scope.start)) / width), 0)
    grid = pd.date_range(first - before * width, max(frame["ts"].max(), pd.Timestamp(scope.end) - width), freq=width)
    whole = frame.drop_duplicates("ts").set_index("ts")
    whole = whole.reindex(grid.union(pd.DatetimeIndex(whole.index))).rename_axis("ts")
    return whole.fillna(dict.fromkeys(counts, 0)).reset_index()


def wide(frame: pd.DataFrame, scope: Scope, by: str, metric: str, groups: int = MAX_GROUPS) -> pd.DataFrame:
    """One column a group, the largest first, everything beyond `groups` added up in `other`; index = ts."""
    if frame.empty:
        return pd.DataFrame()
    table = _pivot(frame, by, metric, "sum")
    named = table.drop(columns=OTHER_NAME, errors="ignore")
    sums = named.sum().sort_values(ascending=False, kind="stable")
    largest = sums[sums > 0].index.tolist()[:groups] or sums.index.tolist()[:1]
    rest = table.drop(columns=largest)
    rest = rest.loc[:, rest.sum() > 0]
    result = table[largest].assign(**{OTHER_NAME: rest.sum(axis="columns")}) if len(rest.columns) else table[largest]
    return _regular(result, frame, scope, tuple(str(name) for name in result.columns))


def mean_scores(frame: pd.DataFrame, scope: Scope) -> pd.DataFrame:
    """Score series in wider buckets: few answers are judged, and a mean of two is noise. Weighted by scores."""
    width = max(bucket_width(frame), pd.Timedelta((scope.end - scope.start) / SCORE_BUCKETS).ceil("s"))
    weighted = frame.assign(ts=frame["ts"].dt.floor(width), mean=frame["mean"] * frame["scores"])
    rows = weighted.groupby(["ts", "name"], observed=True)[["scores", "mean"]].sum().reset_index()
    rows = rows.assign(mean=rows["mean"] / rows["scores"])
    rows.attrs["bucket_seconds"] = width.total_seconds()
    return rows


def lines_by(frame: pd.DataFrame, scope: Scope, by: str, metric: str, groups: int = MAX_GROUPS) -> pd.DataFrame:
    """One column a group of a metric that does not add up (a rate, a mean): the best covered groups, no `other`."""
    if frame.empty:
        return pd.DataFrame()
    table = _pivot(frame, by, metric, "mean").drop(columns=OTHER_NAME, errors="ignore")
    covered = table.count().sort_values(ascending=False, kind="stable").index.tolist()[:groups]
    return _regular(table[covered], frame, scope, ())


def _pivot(frame: pd.DataFrame, by: str, metric: str, how: Literal["sum", "mean"]) -> pd.DataFrame:
    return frame.assign(**{by: frame[by].astype(str)}).pivot_table(
        index="ts", columns=by, values=metric, aggfunc=how, observed=True
    )


def _regular(table: pd.DataFrame, frame: pd.DataFrame, scope: Scope, counts: tuple[str, ...]) -> pd.DataFrame:
    rows = table.reset_index()
    rows.attrs = frame.attrs
    return filled(rows, scope, counts).set_index("ts")


def with_seconds(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Columns in milliseconds as seconds, for tables."""
    return frame.assign(**{name: frame[name].astype(float) / 1000 for name in columns if name in frame})


def named(frame: pd.DataFrame, *columns: str, missing: str = "(none)") -> pd.DataFrame:
    """Empty names spelled out."""
    return frame.assign(
        **{
            name: [plain(value, MAX_LABEL_CHARS) if value else missing for value in frame[name]]
            for name in columns
            if name in frame
        }
    )


def chips(values: pd.Series) -> pd.Series:
    """Each value as a list of one: what a table column of coloured chips wants."""
    return pd.Series([[str(value)] for value in values], index=values.index, dtype=object)
