package dataset

import (
	"time"

	"caos"
)

// Interval is a span of time, its end not in it.
type Interval struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// ParseInterval reads an ISO 8601 interval "start/end": dates, or date-times with a zone. A
// date is midnight in zone, UTC if nil.
func ParseInterval(text string, zone *time.Location) (Interval, error) {
	return Interval{}, caos.Errorf(caos.Unavailable, "not there yet")
}

// String writes the interval as ParseInterval reads it: dates if both ends are midnight UTC,
// RFC 3339 otherwise.
func (i Interval) String() string { return "" }

// Location is the zone of the definition's schedule, UTC without one.
func (d *Definition) Location() (*time.Location, error) {
	return time.UTC, nil
}

// IntervalAt is what a run at a moment is about, nil if a definition has no interval: for
// IntervalSchedule the time between the last two nominal times that are not after it, for
// IntervalDay and IntervalMonth the calendar day or month before it, in the schedule's zone.
func (d *Definition) IntervalAt(at time.Time) (*Interval, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// ExpandURI puts an interval into the placeholders of a URI: {yyyy} {mm} {dd} of its start in
// zone, {interval} both ends as days or moments, fit for a path.
func ExpandURI(uri string, i *Interval, zone *time.Location) (string, error) {
	return "", caos.Errorf(caos.Unavailable, "not there yet")
}
