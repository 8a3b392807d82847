package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/event"
)

// validationAt is a small validation of a moment.
func validationAt(at time.Time, status string, checks ...ValidationCheck) Validation {
	v := Validation{ValidationID: "VAL-EXEC-" + caos.Stamp(at), ExecutionID: "EXEC-" + caos.Stamp(at), PipelineExecution: "EXEC-DP-DLY-001-" + caos.Stamp(at.Add(-time.Hour)),
		PipelineID: "DP-DLY-001", DatasetID: "DP-DLY-001.train", N: 1, DatasetURI: "file:///x/train/", DatasetDigest: "SHA256:a", ContractID: "95-00-09-02-004", ContractVersion: "1.0.0",
		ContractDigest: "SHA256:c", Status: status, Dimensions: map[string]*float64{}, Rows: 10, Checks: checks, Classification: "Internal", StartedAt: at, ValidatedAt: at}
	for _, k := range checks {
		v.Performed++
		if k.Passed {
			v.Passed++
		} else {
			v.Failed++
		}
	}
	if v.Performed > 0 {
		score := float64(v.Passed) / float64(v.Performed)
		v.Score = &score
	}
	return v
}

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// What is written is what is read, in rows of bounded size, and it is written once.
func TestValidationIsKept(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		k := openLoom(t, d, event.Options{})
		ctx := context.Background()
		half := 0.5
		v := validationAt(noon, ValidationFail, ValidationCheck{ID: "a", Name: "A", Passed: true, Weight: 1, Severity: "error"}, ValidationCheck{ID: "b", Severity: "error", Value: "NaN"})
		v.Dimensions["accuracy"], v.Dimensions["completeness"] = &half, nil
		v.Samples = []ValidationSample{{Check: "b", Values: []SampleValue{{Column: "x", Value: "<script>\x00\u202e\xff"}, {Column: "y", Masked: true}}}}
		v.Profile = []ColumnProfile{{Name: "x", Type: "DOUBLE", Quantiles: []float64{0, 1, 2, 3, 4, 5, 6}, Outliers: []Outlier{{Check: "o", Low: &half, Rows: 3}}}}
		v.Findings = []caos.Finding{{Rule: "anomalies-flagged", Message: "some"}}
		v.Statements = []ValidationStatement{{"dq", "SELECT 1"}}
		k.ok(k.do(func(tx *db.Tx) error { return k.PutValidation(tx, v) }))
		got, err := k.Validation(ctx, v.ValidationID)
		k.ok(err)
		want := v.Bounded()
		if want.Statements != nil || len(v.Statements) != 1 {
			t.Error("a row has no statements, and what was given keeps its own")
		}
		if want.Samples[0].Values[0].Value != "<script>�\u202e�" {
			t.Errorf("a value as it is stored: %q", want.Samples[0].Values[0].Value)
		}
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("read\n%+v\nwant\n%+v", *got, want)
		}
		err = k.do(func(tx *db.Tx) error { return k.PutValidation(tx, v) })
		if caos.KindOf(err) != caos.Conflict {
			t.Errorf("the same again: %v", err)
		}
		v2 := v
		v2.Passed++
		if err := k.do(func(tx *db.Tx) error { return k.PutValidation(tx, v2) }); caos.KindOf(err) != caos.Internal {
			t.Errorf("figures that do not add up: %v", err)
		}
		k.ok(k.do(func(tx *db.Tx) error { k.Alerted(tx, v.ValidationID, "ALERT-DATA-1"); return nil }))
		if got, err = k.Validation(ctx, v.ValidationID); err != nil || got.AlertID != "ALERT-DATA-1" {
			t.Errorf("alert %q %v", got.AlertID, err)
		}
		for _, id := range []string{"", "VAL-EXEC-1", v.ValidationID + "\x00", "VAL-EXEC-20260101T000000.000000Z", strings.Repeat("x", 1<<20)} {
			if _, err := k.Validation(ctx, id); caos.KindOf(err) != caos.NotFound {
				t.Errorf("%.30q: %v", id, err)
			}
		}
	})
}

// As much as a contract may have stays within what a row and an event hold.
func TestHugeValidationIsBounded(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		k := openLoom(t, d, event.Options{})
		long := strings.Repeat("ü<&>\x01", 3000)
		var checks []ValidationCheck
		for i := range 1200 {
			checks = append(checks, ValidationCheck{ID: fmt.Sprint(i, long), Name: long, Description: long, Column: long, Value: long, Expected: long, Message: long, Metric: long})
		}
		v := validationAt(noon, ValidationFail, checks...)
		row := ValidationSample{Check: long}
		for range 300 {
			row.Values = append(row.Values, SampleValue{Column: long, Value: long})
		}
		for range 300 {
			v.Samples = append(v.Samples, row)
			v.Profile = append(v.Profile, ColumnProfile{Name: long, Type: long, Min: long, Max: long})
		}
		k.ok(k.do(func(tx *db.Tx) error { return k.PutValidation(tx, v) }))
		got, err := k.Validation(context.Background(), v.ValidationID)
		k.ok(err)
		texts, err := got.texts()
		k.ok(err)
		raw := strings.Join(texts[:], "")
		if len(got.Checks) != 1000 || len(got.Samples) != 100 || len(got.Samples[0].Values) != 40 || len(raw) > 3<<20 || got.Performed != 1200 {
			t.Errorf("%d checks, %d samples of %d values, %d bytes, %d performed", len(got.Checks), len(got.Samples), len(got.Samples[0].Values), len(raw), got.Performed)
		}
	})
}

func TestValidationCompare(t *testing.T) {
	check := func(id string, passed bool) ValidationCheck { return ValidationCheck{ID: id, Passed: passed} }
	before := validationAt(noon, ValidationPass, check("stays", true), check("breaks", true), check("heals", false), check("goes", true))
	now := validationAt(noon.Add(time.Hour), ValidationFail, check("stays", true), check("breaks", false), check("heals", true), check("new", false))
	now.Rows, now.DatasetDigest = 7, "SHA256:b"
	c := now.Compare(&before)
	if !slices.Equal(c.FailingNow, []string{"breaks"}) || !slices.Equal(c.PassingNow, []string{"heals"}) || !slices.Equal(c.Added, []string{"new"}) || !slices.Equal(c.Dropped, []string{"goes"}) ||
		c.Rows != -3 || *c.Score != -0.25 || !c.Dataset || c.Contract || c.Status != ValidationPass || c.Previous != before.ValidationID {
		t.Errorf("%+v", c)
	}
	before.Score = nil
	if c := now.Compare(&before); c.Score != nil {
		t.Error("a change of a score that there was not")
	}
	// A check whose id was clipped in the row is the same check.
	long := strings.Repeat("ü", 400)
	stored := validationAt(noon, ValidationPass, check(long, true)).Bounded()
	now = validationAt(noon.Add(time.Hour), ValidationFail, check(long, false))
	if c := now.Compare(&stored); len(c.FailingNow) != 1 || len(c.Added)+len(c.Dropped) != 0 {
		t.Errorf("a long id: %d failing, %d added, %d dropped", len(c.FailingNow), len(c.Added), len(c.Dropped))
	}
}

// Whatever comes in whatever order, also two at one moment and one that is undone, the
// dashboard is what a recount of the rows says. Mutations that make this fail: an update of
// the standing without the comparison of moments; failing_since kept from the row before.
func TestQualityDashboardEqualsRecount(t *testing.T) {
	for seed := range uint64(3) {
		dbtest.Run(t, func(t *testing.T, d *db.DB) {
			k := openLoom(t, d, event.Options{})
			r := rand.New(rand.NewPCG(seed, 5))
			everything := func(string, string) bool { return true }
			for step := range 60 {
				at := time.UnixMicro(k.clock.Load()).UTC().Add(-time.Duration(r.IntN(100)) * time.Hour)
				at = at.Add(time.Duration(seed*1000+uint64(step)) * time.Microsecond)
				v := validationAt(at, ValidationStatuses()[r.IntN(3)], ValidationCheck{ID: "a", Passed: r.IntN(2) == 0})
				v.ValidatedAt = at.Truncate(time.Hour) // many at one moment
				v.DatasetID, v.ContractID = fmt.Sprintf("DP-DLY-00%d.train", 1+r.IntN(2)), fmt.Sprintf("95-00-09-02-00%d", 1+r.IntN(2))
				v.Project, v.Classification, v.Anomalies, v.N = []string{"", "delays"}[r.IntN(2)], []string{"Internal", "Restricted"}[r.IntN(2)], int64(r.IntN(5)), int64(1+r.IntN(9))
				if r.IntN(5) == 0 {
					v.Score = nil
				}
				undone := errors.New("undone")
				err := k.do(func(tx *db.Tx) error {
					if err := k.PutValidation(tx, v); err != nil {
						return err
					}
					if r.IntN(8) == 0 {
						return undone
					}
					return nil
				})
				if err != nil && !errors.Is(err, undone) {
					t.Fatal(err)
				}
			}
			got, err := k.Quality(context.Background(), everything)
			k.ok(err)
			want := k.recount(everything)
			if !reflect.DeepEqual(got, want) {
				a, _ := json.MarshalIndent(got, "", " ")
				b, _ := json.MarshalIndent(want, "", " ")
				t.Fatalf("the dashboard says\n%s\na recount\n%s", a, b)
			}
			some := func(project, classification string) bool { return project == "delays" && classification == "Internal" }
			less, err := k.Quality(context.Background(), some)
			k.ok(err)
			for _, s := range less.Standing {
				if !some(s.Project, s.Classification) {
					t.Errorf("somebody without leave sees %+v", s)
				}
			}
			if want := k.recount(some); !reflect.DeepEqual(less.Days, want.Days) {
				t.Errorf("days for some: %v, want %v", less.Days, want.Days)
			}
		})
	}
}

// recount makes the dashboard from the rows alone.
func (k *loom) recount(sees func(project, classification string) bool) *Quality {
	k.t.Helper()
	var all []*Validation
	for cursor := ""; ; {
		page, next, err := k.Validations(context.Background(), ValidationFilter{Limit: 1000}, cursor)
		k.ok(err)
		all = append(all, page...)
		if cursor = next; next == "" {
			break
		}
	}
	out := &Quality{Standing: []QualityStanding{}, Days: []QualityDay{}}
	slices.Reverse(all) // the oldest first
	standing, days := map[string]*QualityStanding{}, map[string]*QualityDay{}
	for _, v := range all {
		s := standing[v.DatasetID+v.ContractID]
		if s == nil {
			s = &QualityStanding{DatasetID: v.DatasetID, ContractID: v.ContractID}
			standing[v.DatasetID+v.ContractID] = s
		}
		s.Validations++
		switch at := v.ValidatedAt; v.Status {
		case ValidationPass:
			s.Passes++
			s.FailingSince = nil
		case ValidationWarning:
			s.Warnings++
			s.FailingSince = nil
		default:
			if s.Fails++; s.FailingSince == nil {
				s.FailingSince = &at
			}
		}
		s.PipelineID, s.ValidationID, s.N, s.Status, s.Score, s.Failed, s.Anomalies = v.PipelineID, v.ValidationID, v.N, v.Status, v.Score, int64(v.Failed), v.Anomalies
		s.ValidatedAt, s.Project, s.Classification = v.ValidatedAt, v.Project, v.Classification
		if !sees(v.Project, v.Classification) {
			continue
		}
		day := v.ValidatedAt.Format(time.DateOnly)
		x := days[day+v.Project+"/"+v.Status]
		if x == nil {
			x = &QualityDay{Day: day, Project: v.Project, Status: v.Status}
			days[day+v.Project+"/"+v.Status] = x
		}
		x.Validations, x.ChecksFailed, x.Anomalies = x.Validations+1, x.ChecksFailed+int64(v.Failed), x.Anomalies+v.Anomalies
	}
	for _, s := range standing {
		if sees(s.Project, s.Classification) {
			out.Standing = append(out.Standing, *s)
		}
	}
	for _, x := range days {
		out.Days = append(out.Days, *x)
	}
	slices.SortFunc(out.Standing, func(a, b QualityStanding) int {
		return -a.ValidatedAt.Compare(b.ValidatedAt)*4 + strings.Compare(a.DatasetID, b.DatasetID)*2 + strings.Compare(a.ContractID, b.ContractID)
	})
	slices.SortFunc(out.Days, func(a, b QualityDay) int {
		return -strings.Compare(a.Day, b.Day)*4 + strings.Compare(a.Project, b.Project)*2 + strings.Compare(a.Status, b.Status)
	})
	return out
}

// History, trend and lists.
func TestValidationHistory(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		k := openLoom(t, d, event.Options{})
		ctx := context.Background()
		for i := range 450 {
			v := validationAt(noon.Add(time.Duration(i)*time.Minute), ValidationStatuses()[i%3], ValidationCheck{ID: "a", Passed: true})
			if i%10 == 0 {
				v.ContractID = "95-00-09-02-005"
			}
			k.ok(k.do(func(tx *db.Tx) error { return k.PutValidation(tx, v) }))
		}
		all, err := k.Trend(ctx, "DP-DLY-001.train", "", 0)
		k.ok(err)
		one, err := k.Trend(ctx, "DP-DLY-001.train", "95-00-09-02-005", 10)
		k.ok(err)
		if len(all) != 400 || !all[399].At.Equal(noon.Add(449*time.Minute)) || !all[0].At.Before(all[1].At) || len(one) != 10 || !one[9].At.Equal(noon.Add(440*time.Minute)) {
			t.Errorf("%d points %v..%v, %d", len(all), all[0].At, all[len(all)-1].At, len(one))
		}
		last, err := k.LastValidation(ctx, "DP-DLY-001.train", "95-00-09-02-005")
		if err != nil || last == nil || !last.ValidatedAt.Equal(noon.Add(440*time.Minute)) || len(last.Checks) != 1 {
			t.Errorf("last %+v %v", last, err)
		}
		if last, err := k.LastValidation(ctx, "DP-DLY-001.none", "95-00-09-02-005"); err != nil || last != nil {
			t.Errorf("%v %v", last, err)
		}
		n := 0
		for cursor := ""; ; {
			page, next, err := k.Validations(ctx, ValidationFilter{Status: ValidationFail, ContractID: "95-00-09-02-004", DatasetID: "DP-DLY-001.train", Limit: 50}, cursor)
			k.ok(err)
			n += len(page)
			if cursor = next; next == "" {
				break
			}
		}
		if n != 135 {
			t.Errorf("%d failed", n)
		}
		page, _, err := k.Validations(ctx, ValidationFilter{Execution: last.PipelineExecution}, "")
		if err != nil || len(page) != 1 || page[0].ValidationID != last.ValidationID || page[0].Checks != nil {
			t.Errorf("by execution: %v %v", page, err)
		}
		for _, f := range []ValidationFilter{{Status: "GOOD"}} {
			if _, _, err := k.Validations(ctx, f, ""); caos.KindOf(err) != caos.Invalid {
				t.Errorf("%+v: %v", f, err)
			}
		}
		for _, hostile := range []string{"\x00", "\xff", "'; DROP TABLE validations; --"} {
			if page, _, err := k.Validations(ctx, ValidationFilter{DatasetID: hostile, Execution: hostile}, ""); err != nil || len(page) != 0 {
				t.Errorf("%q: %v %v", hostile, page, err)
			}
			if p, err := k.Trend(ctx, hostile, hostile, 5); err != nil || len(p) != 0 {
				t.Errorf("%q: %v %v", hostile, p, err)
			}
		}
	})
}
