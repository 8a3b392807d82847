package registry_test

import (
	"fmt"
	"testing"
	"time"

	"caos/internal/db"
	"caos/internal/registry"
)

// What problem reports stood against a version at a moment can be seen later, however they
// read now; those of which nobody kept how they read are counted. Mutation that makes this
// fail: storeProblem without keepProblem.
func TestOpenProblemsAt(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		at := func(when time.Time, version string) (ids []string, unknown int64) {
			t.Helper()
			f.must(func(tx *db.Tx) error {
				list, n, err := f.OpenProblemsAt(tx, fcs, version, when)
				for _, p := range list {
					ids = append(ids, p.ProblemID+" "+string(p.Severity))
				}
				unknown = n
				return err
			})
			return ids, unknown
		}
		now := func() time.Time {
			t.Helper()
			var us int64
			f.must(func(tx *db.Tx) error { return tx.QueryRow(`SELECT MAX(updated_at) FROM problem_reports`).Scan(&us) })
			return time.UnixMicro(us).UTC()
		}
		_, err := f.problem(registry.ProblemReport{ModelID: fcs, Title: "Wrong sign", Severity: registry.High}, anna)
		f.ok(err)
		raised := now()
		_, err = f.problem(registry.ProblemReport{ModelID: fcs, Title: "Late", Severity: registry.Low, Baselines: []string{"BL-FCS-3.0.0"}}, anna)
		f.ok(err)
		f.must(func(tx *db.Tx) error {
			_, err := f.UpdateProblem(tx, "PR-FCS-1", registry.ProblemUpdate{Severity: ptr(registry.Critical)}, 0, anna)
			return err
		})
		worse := now()
		if ids, _ := at(raised.Add(-time.Hour), "2.1.0"); len(ids) != 0 {
			t.Errorf("before: %v", ids)
		}
		if ids, n := at(raised, "2.1.0"); fmt.Sprint(ids) != "[PR-FCS-1 HIGH]" || n != 0 {
			t.Errorf("when it was raised: %v %d", ids, n)
		}
		if ids, _ := at(worse, "2.1.0"); fmt.Sprint(ids) != "[PR-FCS-1 CRITICAL]" {
			t.Errorf("when it was worse: %v", ids)
		}
		if ids, _ := at(worse, "3.0.0"); fmt.Sprint(ids) != "[PR-FCS-1 CRITICAL PR-FCS-2 LOW]" {
			t.Errorf("of a later version: %v", ids)
		}
		f.must(func(tx *db.Tx) error {
			tx.Exec(`DELETE FROM row_history WHERE id = 'PR-FCS-2'`) // as of before histories were kept
			return nil
		})
		if _, n := at(worse, "3.0.0"); n != 1 {
			t.Errorf("%d without a history", n)
		}
	})
}

// The lowest number that no document has is free, whoever took the others.
func TestFreeDocumentID(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		free := func(skip int, want string) {
			t.Helper()
			f.must(func(tx *db.Tx) error {
				id, err := f.FreeDocumentID(tx, "95-00-09-02-", skip)
				if id != want {
					t.Errorf("%s, want %s", id, want)
				}
				return err
			})
		}
		free(0, "95-00-09-02-001")
		for _, id := range []string{"95-00-09-02-001", "95-00-09-02-003", "95-00-09-02-00x", "95-00-09-02-0002", "95-00-09-021-002"} {
			_, err := f.register(registry.Document{DocumentID: id, Version: "1.0", Kind: "memo", Title: "A memo"}, "text", anna)
			f.ok(err)
		}
		free(0, "95-00-09-02-002")
		free(1, "95-00-09-02-004")
		free(996, "95-00-09-02-999")
		free(997, "95-00-09-02-1000")
	})
}
