package event

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/adhocore/gronx"

	"caos"
)

// A schedule's nominal times are events, too: those of a clock on a wall. They are found on
// the wall, where every day has 24 hours, and then looked up in the zone: a time that a
// change of the clock leaves out does not come, and one that it repeats comes once, the
// second time. (Finding them in the zone, as the library does, gets stuck where the clock is
// put forward at midnight.)

// cronField is what a field of a schedule is made of. The library takes more (seconds,
// years, words such as @daily), which no two programs read alike.
var cronField = regexp.MustCompile(`^[0-9A-Za-z*,/#-]+$`)

// schedule is a cron expression of five fields in a zone.
type schedule struct {
	cron string
	zone *time.Location
}

// readSchedule refuses what is no schedule: the field of the error is cron or zone.
func readSchedule(cron, zone string) (schedule, error) {
	fields := strings.Fields(cron)
	if len(fields) != 5 || len(cron) > 100 || slices.ContainsFunc(fields, func(f string) bool { return !cronField.MatchString(f) }) {
		return schedule{}, badCron(cron, nil)
	}
	if zone == "Local" || len(zone) > 64 {
		zone = "?"
	}
	at, err := time.LoadLocation(zone)
	if err != nil {
		return schedule{}, caos.Errorf(caos.Invalid, "there is no time zone %.80q", zone).WithField("zone").WithHint("an IANA name such as Europe/Paris, or UTC")
	}
	return schedule{strings.Join(fields, " "), at}, nil
}

func badCron(cron string, cause error) error {
	e := caos.Errorf(caos.Invalid, "%.80q is not a schedule", cron).WithField("cron").WithHint("five fields: minute hour day month weekday, such as 30 2 * * 1")
	e.Err = cause
	return e
}

// NextTick returns the first nominal time of a schedule that is after t by a minute of the
// clock, in UTC. cron has five fields, minute hour day month weekday; zone is an IANA name,
// UTC if empty. Errors are Invalid, of the field cron or zone.
func NextTick(cron, zone string, t time.Time) (time.Time, error) {
	s, err := readSchedule(cron, zone)
	if err != nil {
		return time.Time{}, err
	}
	return s.next(t)
}

// TickBefore returns the last nominal time of a schedule before t, in UTC. It knows no other
// times than NextTick does. A schedule without one in the ten years before t is Invalid.
func TickBefore(cron, zone string, t time.Time) (time.Time, error) {
	s, err := readSchedule(cron, zone)
	if err != nil {
		return time.Time{}, err
	}
	const furthest = 10 * 366 * 24 * time.Hour // 29 February is eight years from the next once in a while
	for back := 2 * time.Minute; back < 2*furthest; back *= 2 {
		tick, err := s.next(t.Add(-min(back, furthest)))
		if err != nil {
			return tick, err
		}
		for tick.Before(t) {
			next, err := s.next(tick)
			if err != nil {
				return next, err
			}
			if !next.Before(t) {
				return tick, nil
			}
			tick = next
		}
	}
	return time.Time{}, caos.Errorf(caos.Invalid, "%.80q had no time in ten years", cron).WithField("cron").WithHint("choose a day that every year has")
}

// next is NextTick of a schedule that was read.
func (s schedule) next(t time.Time) (time.Time, error) {
	const doubt = 4 * time.Hour // around a change of the clock the wall says nothing of the order of things
	t = t.In(s.zone).Truncate(time.Minute)
	wall := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), 0, 0, time.UTC)
	begin, end := t.ZoneBounds()
	if !begin.IsZero() && t.Sub(begin) < doubt || !end.IsZero() && end.Sub(t) < doubt {
		wall = wall.Add(-doubt)
	}
	for range 4000 { // minutes of a day that is left out, and more
		next, err := gronx.NextTickAfter(s.cron, wall, false)
		if err != nil || !next.After(wall) {
			return time.Time{}, badCron(s.cron, err)
		}
		wall = next
		if at, ok := s.moment(wall); ok && at.After(t) {
			return at, nil
		}
	}
	return time.Time{}, badCron(s.cron, nil)
}

// moment is when a clock on the wall shows a time, the later moment if there are two.
func (s schedule) moment(wall time.Time) (at time.Time, ok bool) {
	const widest = 16 * time.Hour // no zone is further from UTC
	for _, around := range []time.Duration{-widest, widest} {
		_, offset := wall.Add(around).In(s.zone).Zone()
		m := wall.Add(-time.Duration(offset) * time.Second)
		if _, shows := m.In(s.zone).Zone(); shows == offset && (!ok || m.After(at)) {
			at, ok = m, true
		}
	}
	return at, ok
}
