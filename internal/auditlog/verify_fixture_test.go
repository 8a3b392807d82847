package auditlog

import (
	"context"
	"testing"
)

// check verifies the fixture's log and returns the problems.
func (f *fixture) check(t testing.TB) ([]Problem, Summary) {
	t.Helper()
	var all []Problem
	sum, err := Verify(context.Background(), VerifyOptions{DB: f.d, Published: []Sink{f.sink}, OnProblem: func(p Problem) { all = append(all, p) }})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Problems != len(all) {
		t.Errorf("%d problems were counted and %d reported", sum.Problems, len(all))
	}
	return all, sum
}

// clean fails unless the log verifies without a problem and completely.
func clean(t testing.TB, f *fixture) {
	t.Helper()
	problems, sum := f.check(t)
	for i, p := range problems {
		if i < 20 {
			t.Errorf("false alarm: %v", p)
		}
	}
	size, root, err := f.Root(context.Background())
	if err != nil || sum.Size != size || sum.Root != root {
		t.Errorf("%+v, but the log has %d leaves (%v)", sum, size, err)
	}
	var n int64
	if err := f.d.QueryRow(context.Background(), `SELECT count(*) FROM audit_records`).Scan(&n); err != nil || sum.Records != n {
		t.Errorf("%d of %d records were read (%v)", sum.Records, n, err)
	}
}
