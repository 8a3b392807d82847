"""What NN-DLY-001 is given: twenty numbers a flight.

All statistics are of flights before the one to be predicted: of January and February 2001
("history"), and of the calendar day before. A flight of January or February never counts in
its own statistics: days are dealt into five folds, and a day takes the statistics of the
other four.
"""
import hashlib

import duckdb
import numpy as np

NAMES = [
    "weekday_sin", "weekday_cos", "hour_sin", "hour_cos", "hour_sin2", "hour_cos2", "hours_since_5",
    "distance_1000_miles", "distance_log",
    "origin_mean_delay", "origin_share_late", "origin_flights_log", "origin_mean_delay_hours",
    "destination_mean_delay", "destination_share_late", "destination_flights_log", "destination_mean_delay_hours",
    "day_before_origin_mean", "day_before_destination_mean", "day_before_all_mean",
]
FOLDS = 5
LATE = 15          # minutes: what US statistics count as late
PRIOR = 200        # flights of the whole system that an airport's statistics begin with
PRIOR_DAY = 20     # the same for one airport on one day
IMPOSSIBLE = -120  # minutes: nobody arrives two hours early; such rows are mistakes of the source
HISTORY_END = np.datetime64("2001-03-01")
TEST_END = np.datetime64("2001-04-01")
BAND = np.array([0] * 5 + [1] * 5 + [2] * 4 + [3] * 4 + [4] * 6)  # hour -> part of the day


class Flights:
    """Columns of flights, in the order of the data file's own values."""

    def __init__(self, path, until="2001-04-01"):
        con = duckdb.connect()
        con.execute("set threads=1")
        got = con.execute(
            "select date, delay, distance, origin, destination from read_parquet(?) where date < ?::timestamp "
            "order by date, origin, destination, distance, delay", [path, until]).fetchnumpy()
        self.read = len(got["date"])
        keep = np.asarray(got["delay"]) >= IMPOSSIBLE
        self.date = np.asarray(got["date"])[keep].astype("datetime64[m]")
        self.delay = np.asarray(got["delay"])[keep].astype(np.float64)
        self.distance = np.asarray(got["distance"])[keep].astype(np.float64)
        self.origin = np.asarray(got["origin"])[keep].astype(str)
        self.destination = np.asarray(got["destination"])[keep].astype(str)
        self.dropped = self.read - int(keep.sum())
        self.day = self.date.astype("datetime64[D]")
        self.minute = (self.date - self.day).astype(int)
        self.history = self.date < HISTORY_END
        self.test = (self.date >= HISTORY_END) & (self.date < TEST_END)

    def digest(self, mask):
        """SHA-256 of the rows as CSV: date,delay,distance,origin,destination."""
        h = hashlib.sha256()
        for i in np.flatnonzero(mask):
            h.update(f"{self.date[i]},{self.delay[i]:.0f},{self.distance[i]:.0f},{self.origin[i]},{self.destination[i]}\n".encode())
        return "SHA256:" + h.hexdigest()


def smoothed(total, count, mean, prior):
    return (total + prior * mean) / (count + prior)


class Statistics:
    """Sums by airport over some flights: everything that the features need of the past."""

    def __init__(self, flights, mask, airports):
        self.airports = airports
        n = len(airports)
        delay, band = flights.delay[mask], BAND[flights.minute[mask] // 60]
        self.days = max(1, len(np.unique(flights.day[mask])))
        self.mean, self.late = delay.mean(), (delay > LATE).mean()
        self.by = {}
        for side in ("origin", "destination"):
            at = airports.index_of(getattr(flights, side)[mask])
            cell = at * 5 + band
            self.by[side] = {
                "count": np.bincount(at, minlength=n), "total": np.bincount(at, delay, n), "late": np.bincount(at, delay > LATE, n),
                "band_count": np.bincount(cell, minlength=5 * n), "band_total": np.bincount(cell, delay, 5 * n),
            }

    def columns(self, side, at, band):
        s = self.by[side]
        mean = smoothed(s["total"], s["count"], self.mean, PRIOR)
        share = smoothed(s["late"], s["count"], self.late, PRIOR)
        cell = at * 5 + band
        hours = (s["band_total"][cell] + PRIOR * mean[at]) / (s["band_count"][cell] + PRIOR)
        return [mean[at], share[at], np.log1p(s["count"][at] / self.days), hours]


class Airports:
    """The airports of the history, sorted; one more place for all others."""

    def __init__(self, flights):
        self.names = np.unique(np.concatenate([flights.origin[flights.history], flights.destination[flights.history]]))

    def __len__(self):
        return len(self.names) + 1

    def index_of(self, codes):
        at = np.searchsorted(self.names, codes)
        at = np.minimum(at, len(self.names) - 1)
        return np.where(self.names[at] == codes, at, len(self.names))


def build(flights):
    """Returns the features (float32, a row a flight), the airports and the statistics of the whole history."""
    airports = Airports(flights)
    days = np.unique(flights.day)
    day_index = np.searchsorted(days, flights.day)
    fold = day_index % FOLDS
    whole = Statistics(flights, flights.history, airports)
    band = BAND[flights.minute // 60]
    sides = {side: airports.index_of(getattr(flights, side)) for side in ("origin", "destination")}
    past = {side: np.zeros((4, len(flights.delay))) for side in sides}
    parts = [(flights.history & (fold == k), Statistics(flights, flights.history & (fold != k), airports)) for k in range(FOLDS)]
    parts.append((~flights.history, whole))
    for mask, stats in parts:
        for side, at in sides.items():
            past[side][:, mask] = stats.columns(side, at[mask], band[mask])
    before = day_before(flights, airports, sides, days, day_index, whole.mean)
    hour = flights.minute / 60
    week = (flights.day.astype(int) + 3) % 7  # 1970-01-01 was a Thursday
    turn, spin = 2 * np.pi * week / 7, 2 * np.pi * hour / 24
    x = np.stack([
        np.sin(turn), np.cos(turn), np.sin(spin), np.cos(spin), np.sin(2 * spin), np.cos(2 * spin), (hour - 5) % 24,
        flights.distance / 1000, np.log(np.maximum(flights.distance, 1)),
        *past["origin"], *past["destination"], *before,
    ], axis=1)
    return x.astype(np.float32), airports, whole


def day_before(flights, airports, sides, days, day_index, mean):
    """Mean delays of the calendar day before: at the origin, at the destination, of all."""
    n = len(airports)
    every_total, every_count = np.bincount(day_index, flights.delay), np.bincount(day_index)
    consecutive = np.concatenate([[False], np.diff(days) == np.timedelta64(1, "D")])
    known = consecutive[day_index]
    previous = np.maximum(day_index - 1, 0)
    all_mean = np.where(known, every_total[previous] / every_count[previous], mean)
    out = []
    for side in ("origin", "destination"):
        cell = day_index * n + sides[side]
        total, count = np.bincount(cell, flights.delay, len(days) * n), np.bincount(cell, minlength=len(days) * n)
        was = previous * n + sides[side]
        out.append(np.where(known, smoothed(total[was], count[was], all_mean, PRIOR_DAY), mean))
    return [*out, all_mean]
