"""DataFrame in, DataFrame out: what charts need that the API does not send."""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

from spanwell_dashboard.colors import OTHER_NAME
from spanwell_dashboard.untrusted import MAX_LABEL_CHARS, plain

MAX_GROUPS = 6


def localised(frame: pd.DataFrame, zone: str | None) -> pd.DataFrame:
    """Times as wall-clock times of the viewer: charts know no zones."""
    if "ts" not in frame or frame.empty:
        return frame
    try:
        return frame.assign(ts=frame["ts"].dt.tz_convert(ZoneInfo(zone or "UTC")).dt.tz_localize(None))
    except (ZoneInfoNotFoundError, ValueError):  # the browser names its zone, and may name anything
        return frame.assign(ts=frame["ts"].dt.tz_localize(None))


def bucket_width(times: pd.Series) -> pd.Timedelta:
    """The distance of buckets: the smallest step between two of them, a minute where there is only one."""
    steps = pd.Series(sorted(times.unique())).diff().dropna()
    return pd.Timedelta(steps.min()) if len(steps) else pd.Timedelta(minutes=1)


def filled(frame: pd.DataFrame, counts: tuple[str, ...] = ()) -> pd.DataFrame:
    """Buckets without traffic as rows: zero for `counts`, missing for the rest, so that no line bridges a gap."""
    if frame.empty:
        return frame
    grid = pd.date_range(frame["ts"].min(), frame["ts"].max(), freq=bucket_width(frame["ts"]))
    whole = (
        frame.drop_duplicates("ts")
        .set_index("ts")
        .reindex(grid.union(pd.DatetimeIndex(frame["ts"])).unique())
        .rename_axis("ts")
    )
    return whole.fillna(dict.fromkeys(counts, 0)).reset_index()


def wide(frame: pd.DataFrame, by: str, metric: str, groups: int = MAX_GROUPS) -> pd.DataFrame:
    """One column a group, the largest first, everything beyond `groups` added up in `other`; index = ts."""
    if frame.empty:
        return pd.DataFrame()
    table = frame.assign(**{by: frame[by].astype(str)}).pivot_table(
        index="ts", columns=by, values=metric, aggfunc="sum", observed=True
    )
    named = table.drop(columns=OTHER_NAME, errors="ignore")
    largest = named.sum().sort_values(ascending=False).index.tolist()
    kept = named[largest[:groups]]
    rest = table.drop(columns=largest[:groups]).sum(axis="columns")
    result = kept.assign(**{OTHER_NAME: rest}) if len(table.columns) > len(kept.columns) else kept
    return filled(result.reset_index(), tuple(str(name) for name in result.columns)).set_index("ts")


def lines_by(frame: pd.DataFrame, by: str, metric: str, groups: int = MAX_GROUPS) -> pd.DataFrame:
    """One column a group of a metric that does not add up (a rate, a percentile): the first `groups`, no `other`."""
    if frame.empty:
        return pd.DataFrame()
    table = frame.assign(**{by: frame[by].astype(str)}).pivot_table(
        index="ts", columns=by, values=metric, aggfunc="mean", observed=True
    )
    kept = table.drop(columns=OTHER_NAME, errors="ignore")
    largest = kept.count().sort_values(ascending=False).index.tolist()[:groups]
    return filled(kept[largest].reset_index()).set_index("ts")


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
