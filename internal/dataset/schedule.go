package dataset

import (
	"regexp"
	"strings"
	"time"

	"caos"
	"caos/internal/event"
)

// Interval is a span of time, its end not in it.
type Interval struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Bounds of an interval.
const (
	maxYears  = 10
	firstYear = 1800
	lastYear  = 2200
)

// moment is one end of an interval: a date, or a date-time with a zone.
var moment = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2}))?$`)

// ParseInterval reads an ISO 8601 interval "start/end": dates, or date-times with a zone, to
// the second. A date is the first moment of that day in zone, UTC if nil. The start is before
// the end and at most ten years before it.
func ParseInterval(text string, zone *time.Location) (Interval, error) {
	from, to, ok := strings.Cut(text, "/")
	if !ok {
		return Interval{}, badInterval(text)
	}
	var i Interval
	var err error
	if i.Start, err = parseMoment(from, zone); err != nil {
		return Interval{}, badInterval(text)
	}
	if i.End, err = parseMoment(to, zone); err != nil {
		return Interval{}, badInterval(text)
	}
	return i, i.check()
}

func badInterval(text string) error {
	return caos.Errorf(caos.Invalid, "%.80q is not an interval", text).WithRule("interval-form").
		WithHint("write start/end in ISO 8601, such as 2001-01-01/2001-02-01 or 2001-01-01T00:00Z/2001-01-01T06:00Z")
}

func parseMoment(text string, zone *time.Location) (time.Time, error) {
	if zone == nil {
		zone = time.UTC
	}
	if !moment.MatchString(text) {
		return time.Time{}, badInterval(text)
	}
	layout := time.RFC3339
	switch {
	case len(text) == len(time.DateOnly):
		at, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return at, err
		}
		return startOfDay(at.Year(), at.Month(), at.Day(), zone), nil
	case strings.Count(text[:len("2006-01-02T15:04:05")-2], ":") == 1 && text[len("2006-01-02T15:04")] != ':':
		layout = "2006-01-02T15:04Z07:00"
	}
	at, err := time.Parse(layout, text)
	return at.UTC(), err
}

func (i Interval) check() error {
	switch {
	case !i.Start.Before(i.End):
		return caos.Errorf(caos.Invalid, "an interval's start is before its end, and %s is not", i).WithRule("interval-order").WithHint("swap them, or name the day after as the end")
	case i.End.After(i.Start.AddDate(maxYears, 0, 0)):
		return caos.Errorf(caos.Invalid, "%s is longer than %d years", i, maxYears).WithRule("interval-length").WithHint("run it in parts")
	case i.Start.Year() < firstYear || i.End.Year() > lastYear:
		return caos.Errorf(caos.Invalid, "%s is not between the years %d and %d", i, firstYear, lastYear).WithRule("interval-form")
	}
	return nil
}

// String is Text in UTC.
func (i Interval) String() string { return i.Text(time.UTC) }

// Text writes the interval as ParseInterval reads it with that zone: dates if both ends are
// beginnings of its days, RFC 3339 in UTC otherwise.
func (i Interval) Text(zone *time.Location) string {
	if i.days(zone) {
		return i.Start.In(zone).Format(time.DateOnly) + "/" + i.End.In(zone).Format(time.DateOnly)
	}
	return i.Start.UTC().Format(time.RFC3339) + "/" + i.End.UTC().Format(time.RFC3339)
}

// days reports whether both ends are beginnings of days.
func (i Interval) days(zone *time.Location) bool {
	begins := func(t time.Time) bool {
		l := t.In(zone)
		return startOfDay(l.Year(), l.Month(), l.Day(), zone).Equal(t)
	}
	return begins(i.Start) && begins(i.End)
}

// startOfDay is the first moment of a day in a zone, in UTC. Where the clock is put forward
// at midnight there is no midnight, and where it is put back to midnight there are two: the
// day then begins with the change, and with the first.
func startOfDay(year int, month time.Month, day int, zone *time.Location) time.Time {
	t := time.Date(year, month, day, 0, 0, 0, 0, zone)
	begin, end := t.ZoneBounds()
	want := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	local := func(t time.Time) time.Time {
		l := t.In(zone)
		return time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), l.Second(), 0, time.UTC)
	}
	switch got := local(t); {
	case got.Before(want) && !end.IsZero(): // left out; the day begins behind the change
		return end.UTC()
	case got.After(want) && !begin.IsZero():
		return begin.UTC()
	}
	if !begin.IsZero() {
		_, now := t.Zone()
		_, before := begin.Add(-time.Second).In(zone).Zone()
		if earlier := t.Add(time.Duration(now-before) * time.Second); before > now && earlier.Before(begin) && local(earlier).Equal(want) {
			return earlier.UTC()
		}
	}
	return t.UTC()
}

// Location is the zone of the definition's schedule, UTC without one.
func (d *Definition) Location() (*time.Location, error) {
	if d.Schedule == nil {
		return time.UTC, nil
	}
	if _, err := event.NextTick("0 0 * * *", d.Schedule.Zone, time.Unix(0, 0)); err != nil {
		return nil, scheduled(err)
	}
	return time.LoadLocation(d.Schedule.Zone)
}

// scheduled names the field of the definition that a schedule was refused for.
func scheduled(err error) error {
	e := caos.AsError(err)
	return e.WithField("schedule." + e.Field)
}

// IntervalAt is what a run at a moment is about, nil if a definition has no interval: for
// IntervalSchedule the time between the last two nominal times that are not after it, for
// IntervalDay and IntervalMonth the calendar day or month before it, in the schedule's zone.
func (d *Definition) IntervalAt(at time.Time) (*Interval, error) {
	if d.Interval == IntervalNone {
		return nil, nil
	}
	zone, err := d.Location()
	if err != nil {
		return nil, err
	}
	i := &Interval{}
	l := at.In(zone)
	switch d.Interval {
	case IntervalDay:
		i.Start, i.End = startOfDay(l.Year(), l.Month(), l.Day()-1, zone), startOfDay(l.Year(), l.Month(), l.Day(), zone)
	case IntervalMonth:
		i.Start, i.End = startOfDay(l.Year(), l.Month()-1, 1, zone), startOfDay(l.Year(), l.Month(), 1, zone)
	case IntervalSchedule:
		if d.Schedule == nil {
			return nil, caos.Errorf(caos.Invalid, "the interval is the schedule's, and there is no schedule").WithField("interval")
		}
		if i.End, err = event.TickBefore(d.Schedule.Cron, d.Schedule.Zone, at.Truncate(time.Minute).Add(time.Minute)); err != nil {
			return nil, scheduled(err)
		}
		if i.Start, err = event.TickBefore(d.Schedule.Cron, d.Schedule.Zone, i.End); err != nil {
			return nil, scheduled(err)
		}
	default:
		return nil, caos.Errorf(caos.Invalid, "%.40q is not an interval of runs", d.Interval).WithField("interval").
			WithHint("one of schedule, day, month, or leave it out")
	}
	return i, i.check()
}
