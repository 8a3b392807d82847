package dataset

import (
	"testing"
	"time"

	"caos"
	"caos/internal/event"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestParseInterval(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	for text, want := range map[string]string{
		"2001-01-01/2001-02-01":                               "2001-01-01/2001-02-01",
		"2001-03-25/2001-03-26":                               "2001-03-25/2001-03-26",
		"2001-01-01T00:00Z/2001-01-01T06:00Z":                 "2001-01-01T00:00:00Z/2001-01-01T06:00:00Z",
		"2001-01-01T00:00:00+01:00/2001-01-02":                "2001-01-01/2001-01-02",
		"2000-02-29/2010-02-28T23:00:00Z":                     "2000-02-29/2010-03-01",
		"2001-01-01T23:59:59-11:30/2001-01-02T23:59:59+00:00": "2001-01-02T11:29:59Z/2001-01-02T23:59:59Z",
	} {
		i, err := ParseInterval(text, berlin)
		if err != nil || i.Text(berlin) != want {
			t.Errorf("%s: %s, %v", text, i.Text(berlin), err)
		}
	}
	if i, err := ParseInterval("2001-01-01/2001-02-01", nil); err != nil || i.String() != "2001-01-01/2001-02-01" || i.Start != time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC) {
		t.Errorf("%v %v", i, err)
	}
	for text, rule := range map[string]string{
		"": "interval-form", "2001-01-01": "interval-form", "2001-01-01/": "interval-form", "/2001-01-01": "interval-form", "2001-01-01/P1M": "interval-form",
		"2001-01-01/02-01": "interval-form", "2001-02-30/2001-03-01": "interval-form", "2001-01-01T00:00/2001-01-02T00:00": "interval-form",
		"2001-01-01T24:00Z/2001-01-03": "interval-form", "2001-1-1/2001-2-1": "interval-form", "2001-01-01 00:00Z/2001-01-03": "interval-form",
		"2001-01-01T00:00:00.5Z/2001-01-03": "interval-form", "2001-01-01/2001-02-01/2001-03-01": "interval-form", "2001-W01-1/2001-02-01": "interval-form",
		"2001-01-01/2001-01-01": "interval-order", "2001-01-02/2001-01-01": "interval-order",
		"2001-01-01/2011-01-02": "interval-length", "1700-01-01/1700-02-01": "interval-form", "2300-01-01/2300-01-02": "interval-form",
	} {
		if i, err := ParseInterval(text, nil); caos.AsError(err).Rule != rule || caos.KindOf(err) != caos.Invalid {
			t.Errorf("%q: %v, %v", text, i, err)
		}
	}
}

// A run by schedule is about the time from the last nominal time to this one, through
// changes of the clock: no moment is left out, and none comes twice.
func TestIntervalBySchedule(t *testing.T) {
	for _, test := range []struct{ cron, zone, at, want string }{
		{"0 4 * * *", "UTC", "2026-11-23T04:00:00Z", "2026-11-22T04:00:00Z/2026-11-23T04:00:00Z"},
		{"0 4 * * *", "UTC", "2026-11-23T03:59:59Z", "2026-11-21T04:00:00Z/2026-11-22T04:00:00Z"},
		{"0 0 * * *", "Europe/Berlin", "2026-03-29T22:00:00Z", "2026-03-29/2026-03-30"}, // 23 hours
		{"0 0 * * *", "Europe/Berlin", "2026-10-25T23:00:00Z", "2026-10-25/2026-10-26"}, // 25 hours
		{"30 2 * * *", "Europe/Berlin", "2026-03-30T00:30:00Z", "2026-03-28T01:30:00Z/2026-03-30T00:30:00Z"},
		{"0 0 1 * *", "America/New_York", "2026-04-01T04:00:00Z", "2026-03-01/2026-04-01"},
		{"0 0 29 2 *", "UTC", "2032-02-29T00:00:00Z", "2028-02-29/2032-02-29"},
		{"* * * * *", "UTC", "2026-11-23T04:00:30Z", "2026-11-23T03:59:00Z/2026-11-23T04:00:00Z"},
		{"0 9 * * 1-5", "UTC", "2026-11-23T09:00:00Z", "2026-11-20T09:00:00Z/2026-11-23T09:00:00Z"},
	} {
		d := Definition{Interval: IntervalSchedule, Schedule: &Schedule{Cron: test.cron, Zone: test.zone}}
		at, err := time.Parse(time.RFC3339, test.at)
		if err != nil {
			t.Fatal(err)
		}
		i, err := d.IntervalAt(at)
		if err != nil || i.Text(zone(t, test.zone)) != test.want {
			t.Errorf("%s %s at %s: %v, %v", test.cron, test.zone, test.at, i, err)
		}
	}
	// Every interval begins where the last one ended, in odd zones, too.
	for _, name := range []string{"UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "Africa/Casablanca"} {
		for _, cron := range []string{"0 0 * * *", "30 2 * * *", "15 */3 * * *", "0 1 * * 0"} {
			d := Definition{Interval: IntervalSchedule, Schedule: &Schedule{Cron: cron, Zone: name}}
			at, last := time.Date(2011, 9, 1, 0, 0, 0, 0, time.UTC), time.Time{}
			for at.Before(time.Date(2012, 5, 1, 0, 0, 0, 0, time.UTC)) {
				next, err := event.NextTick(cron, name, at)
				if err != nil {
					t.Fatal(err)
				}
				at = next
				i, err := d.IntervalAt(at)
				if err != nil || !i.End.Equal(at) || !last.IsZero() && !i.Start.Equal(last) {
					t.Fatalf("%s %s at %s: %v after %s, %v", cron, name, at, i, last, err)
				}
				last = at
			}
		}
	}
	none := Definition{}
	if i, err := none.IntervalAt(time.Now()); i != nil || err != nil {
		t.Error(i, err)
	}
}

// Days and months of a zone follow each other without a gap, also where the clock is put
// forward or back at midnight, and where a day is left out.
func TestIntervalByCalendar(t *testing.T) {
	for _, test := range []struct{ interval, zone, at, want string }{
		{IntervalDay, "UTC", "2026-11-23T00:00:00Z", "2026-11-22/2026-11-23"},
		{IntervalDay, "Europe/Berlin", "2026-11-22T23:30:00Z", "2026-11-22/2026-11-23"},
		{IntervalMonth, "UTC", "2026-01-31T12:00:00Z", "2025-12-01/2026-01-01"},
		{IntervalMonth, "Europe/Berlin", "2026-03-31T22:00:00Z", "2026-03-01/2026-04-01"},
	} {
		d := Definition{Interval: test.interval, Schedule: &Schedule{Cron: "0 0 * * *", Zone: test.zone}}
		at, err := time.Parse(time.RFC3339, test.at)
		if err != nil {
			t.Fatal(err)
		}
		i, err := d.IntervalAt(at)
		if err != nil || i.Text(zone(t, test.zone)) != test.want {
			t.Errorf("%s %s at %s: %v, %v", test.interval, test.zone, test.at, i, err)
		}
	}
	for _, name := range []string{"America/Sao_Paulo", "America/Havana", "Atlantic/Azores", "Asia/Beirut", "America/St_Johns", "Europe/Berlin", "Asia/Amman"} {
		l := zone(t, name)
		last := startOfDay(2000, 1, 1, l)
		for day := 2; day < 12*366; day++ {
			next := startOfDay(2000, 1, day, l)
			if hours := next.Sub(last).Hours(); hours < 22 || hours > 26 {
				t.Fatalf("%s: day %d of 2000 begins at %s, %v hours after the one before", name, day, next, hours)
			}
			want := time.Date(2000, 1, day, 0, 0, 0, 0, time.UTC)
			got := next.In(l)
			before := next.Add(-time.Second).In(l)
			if got.Format(time.DateOnly) != want.Format(time.DateOnly) {
				t.Fatalf("%s: day %s begins at %s", name, want.Format(time.DateOnly), got)
			}
			if before.Format(time.DateOnly) == want.Format(time.DateOnly) && name != "America/St_Johns" { // there a minute of the day came before
				t.Fatalf("%s: day %s begins at %s, and had begun before", name, want.Format(time.DateOnly), got)
			}
			last = next
		}
	}
}

func TestExpandURI(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	i, err := ParseInterval("2001-02-03/2001-02-04", berlin)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ExpandURI("s3://b/{yyyy}/{mm}-{dd}/{interval}.csv", &i, berlin); err != nil || got != "s3://b/2001/02-03/2001-02-03_2001-02-04.csv" {
		t.Error(got, err)
	}
	if got, err := ExpandURI("s3://b/{interval}", &i, time.UTC); err != nil || got != "s3://b/20010202T230000Z_20010203T230000Z" {
		t.Error(got, err)
	}
	if got, err := ExpandURI("s3://b/a", nil, nil); err != nil || got != "s3://b/a" {
		t.Error(got, err)
	}
	for uri, rule := range map[string]string{"{yyyy}": "interval-missing", "{YYYY}": "uri-placeholder", "{}": "uri-placeholder", "{a": "uri-placeholder", "a}": "uri-placeholder"} {
		if _, err := ExpandURI(uri, nil, nil); caos.AsError(err).Rule != rule {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

// An interval that was read is one, and is read again as it is written.
func FuzzParseInterval(f *testing.F) {
	for _, s := range []string{"2001-01-01/2001-02-01", "2001-01-01T00:00Z/2001-01-01T06:00:01+02:00", "2018-11-04/2018-11-05", "0000-00-00/9999-99-99"} {
		f.Add(s, true)
	}
	sao := zone(f, "America/Sao_Paulo")
	f.Fuzz(func(t *testing.T, text string, elsewhere bool) {
		l := time.UTC
		if elsewhere {
			l = sao
		}
		i, err := ParseInterval(text, l)
		if err != nil {
			if caos.KindOf(err) != caos.Invalid {
				t.Fatal(err)
			}
			return
		}
		if !i.Start.Before(i.End) || i.End.After(i.Start.AddDate(10, 0, 0)) {
			t.Fatalf("%v", i)
		}
		again, err := ParseInterval(i.Text(l), l)
		if err != nil || !again.Start.Equal(i.Start) || !again.End.Equal(i.End) {
			t.Fatalf("%q became %s: %v", text, i.Text(l), err)
		}
		if _, err := ExpandURI("{yyyy}{mm}{dd}{interval}", &i, l); err != nil {
			t.Fatal(err)
		}
	})
}
