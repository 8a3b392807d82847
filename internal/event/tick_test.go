package event

import (
	"testing"
	"time"

	"caos"
)

func TestNextTick(t *testing.T) {
	for _, test := range []struct{ cron, zone, after, want string }{
		{"0 * * * *", "UTC", "2026-11-22T10:15:30Z", "2026-11-22T11:00:00Z"},
		{"0 11 * * *", "UTC", "2026-11-22T11:00:30Z", "2026-11-23T11:00:00Z"},
		{"30 2 * * *", "Europe/Paris", "2026-10-24T12:00:00Z", "2026-10-25T01:30:00Z"}, // comes twice on the wall
		{"30 2 * * *", "Europe/Paris", "2026-10-25T00:45:00Z", "2026-10-25T01:30:00Z"}, // between the two
		{"30 2 * * *", "Europe/Paris", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"},
		{"30 2 * * *", "Europe/Paris", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"},     // left out once
		{"0 1 * * 0", "America/Sao_Paulo", "2011-10-09T04:00:00Z", "2011-10-16T03:00:00Z"}, // midnight is left out that day
		{"0 0 * * 0", "America/Sao_Paulo", "2011-10-09T04:00:00Z", "2011-10-23T02:00:00Z"},
		{"15 * * * *", "Pacific/Apia", "2011-12-30T09:15:00Z", "2011-12-30T10:15:00Z"}, // a day is left out
		{"0 12 30 12 *", "Pacific/Apia", "2011-01-01T00:00:00Z", "2012-12-29T22:00:00Z"},
		{"0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"},
	} {
		after, err := time.Parse(time.RFC3339, test.after)
		if err != nil {
			t.Fatal(err)
		}
		got, err := NextTick(test.cron, test.zone, after)
		if err != nil || got.UTC().Format(time.RFC3339) != test.want {
			t.Errorf("%s %s after %s: %s, %v; want %s", test.cron, test.zone, test.after, got, err, test.want)
		}
	}
	for field, bad := range map[string][][2]string{
		"cron": {{"", "UTC"}, {"* * * *", "UTC"}, {"* * * * * *", "UTC"}, {"@daily", "UTC"}, {"60 * * * *", "UTC"}, {"0 0 31 2 *", "UTC"}, {"? * * * *", "UTC"}},
		"zone": {{"* * * * *", "Local"}, {"* * * * *", "Europe/Nowhere"}, {"* * * * *", "../x"}},
	} {
		for _, b := range bad {
			if at, err := NextTick(b[0], b[1], time.Now()); caos.KindOf(err) != caos.Invalid || caos.AsError(err).Field != field {
				t.Errorf("%q: %s, %v", b, at, err)
			}
		}
	}
}

// Every tick is the one before the next: looking back finds what looking forward found,
// through changes of the clock of every kind.
func TestTickBefore(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "Africa/Casablanca"} {
		for _, cron := range []string{"0 0 * * *", "30 2 * * *", "15 */3 * * *", "0 1 * * 0", "0 0 1,15 * *"} {
			last := time.Time{}
			at := time.Date(2011, 9, 1, 0, 0, 0, 0, time.UTC)
			for at.Before(time.Date(2012, 5, 1, 0, 0, 0, 0, time.UTC)) {
				next, err := NextTick(cron, zone, at)
				if err != nil || !next.After(at) {
					t.Fatalf("%s %s after %s: %s, %v", cron, zone, at, next, err)
				}
				if before, err := TickBefore(cron, zone, next); err != nil || !last.IsZero() && !before.Equal(last) {
					t.Fatalf("%s %s before %s: %s, %v; want %s", cron, zone, next, before, err, last)
				}
				if same, err := TickBefore(cron, zone, next.Add(time.Minute)); err != nil || !same.Equal(next) {
					t.Fatalf("%s %s at %s: %s, %v", cron, zone, next, same, err)
				}
				at, last = next, next
			}
		}
	}
}
