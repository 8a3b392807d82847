package registry_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/registry"
)

// refused checks the kind, the field or rule, and a word of a refusal.
func refused(t *testing.T, err error, kind caos.Kind, at, say string) {
	t.Helper()
	var e *caos.Error
	if !errors.As(err, &e) || e.Kind != kind || at != e.Field && at != e.Rule || !strings.Contains(e.Message, say) {
		t.Errorf("got %v, want %s at %q saying %q", err, kind, at, say)
	}
}

func ptr[T any](v T) *T { return &v }

func (f *fixture) change(c registry.Change, by registry.By) (out *registry.Change, err error) {
	err = f.update(func(tx *db.Tx) (err error) {
		out, err = f.CreateChange(tx, c, by)
		return err
	})
	return out, err
}

func (f *fixture) problem(p registry.ProblemReport, by registry.By) (out *registry.ProblemReport, err error) {
	err = f.update(func(tx *db.Tx) (err error) {
		out, err = f.CreateProblem(tx, p, by)
		return err
	})
	return out, err
}

func TestChange(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		c, err := f.change(registry.Change{ModelID: fcs, Title: "Retrain on winter data", Class: registry.ClassMajor, Baselines: []string{"BL-FCS-2.1.0"},
			Impact: "weights", Owner: "otto", Classification: "Restricted"}, anna)
		f.ok(err)
		if c.ChangeID != "CHG-FCS-1" || c.Status != registry.ChangeOpen || c.Project != "demo" || c.Classification != "Restricted" || fmt.Sprint(c.Involved) != "[anna otto]" {
			t.Errorf("%+v", c)
		}
		got, err := f.Change(context.Background(), c.ChangeID)
		f.ok(err)
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c) {
			t.Errorf("stored %+v\nmade   %+v", got, c)
		}
		change := func(fn func(tx *db.Tx) (*registry.Change, error)) (out *registry.Change, err error) {
			err = f.update(func(tx *db.Tx) error { out, err = fn(tx); return err })
			return out, err
		}
		// Its next owner is involved as well, and so is who wrote of it; it is another's to decide.
		c, err = change(func(tx *db.Tx) (*registry.Change, error) {
			return f.UpdateChange(tx, c.ChangeID, registry.ChangeUpdate{Owner: ptr("olga"), Class: ptr(registry.ClassCritical)}, 1, anna)
		})
		f.ok(err)
		if c.Revision != 2 || c.Owner != "olga" || c.Class != registry.ClassCritical || fmt.Sprint(c.Involved) != "[anna olga otto]" {
			t.Errorf("%+v", c)
		}
		id, end := c.ChangeID, registry.Closing{Evidence: []string{"95-00-07-FCS-002"}, Statement: "done"}
		for name, try := range map[string]struct {
			do        func(tx *db.Tx) (*registry.Change, error)
			kind      caos.Kind
			at, wants string
		}{
			"stale": {func(tx *db.Tx) (*registry.Change, error) {
				return f.UpdateChange(tx, id, registry.ChangeUpdate{}, 1, anna)
			}, caos.Conflict, "revision", "revision 2"},
			"unknown": {func(tx *db.Tx) (*registry.Change, error) { return f.ChangeIn(tx, "CHG-FCS-9") }, caos.NotFound, "change_id", "no change"},
			"decided by its first owner": {func(tx *db.Tx) (*registry.Change, error) {
				return f.DecideChange(tx, id, true, "fine", registry.By{Actor: "otto"})
			}, caos.Denied, "separation-of-duties", "otto"},
			"decided for another": {func(tx *db.Tx) (*registry.Change, error) {
				return f.DecideChange(tx, id, true, "fine", registry.By{Actor: "bruno", RecordedBy: "anna"})
			}, caos.Denied, "separation-of-duties", "anna"},
			"decided without a word": {func(tx *db.Tx) (*registry.Change, error) { return f.DecideChange(tx, id, true, " ", bruno) }, caos.Invalid, "statement", "why"},
			"closed while open":      {func(tx *db.Tx) (*registry.Change, error) { return f.CloseChange(tx, id, end, bruno) }, caos.Conflict, "", "is OPEN"},
		} {
			_, err := change(try.do)
			t.Run(name, func(t *testing.T) { refused(t, err, try.kind, try.at, try.wants) })
		}
		c, err = change(func(tx *db.Tx) (*registry.Change, error) { return f.DecideChange(tx, id, true, "worth it", bruno) })
		f.ok(err)
		if c.Status != registry.ChangeApproved || c.DecidedBy != "bruno" || c.DecidedAt == nil || c.Statement != "worth it" {
			t.Errorf("%+v", c)
		}
		known := func(_ *db.Tx, id string) (bool, error) { return id == "95-00-07-FCS-002", nil }
		for name, try := range map[string]struct {
			by    registry.By
			end   registry.Closing
			kind  caos.Kind
			at    string
			wants string
		}{
			"by its owner":     {registry.By{Actor: "olga"}, end, caos.Denied, "separation-of-duties", "olga"},
			"without evidence": {bruno, registry.Closing{Statement: "trust me"}, caos.Invalid, "evidence", "nothing shows"},
			"twice the same":   {bruno, registry.Closing{Evidence: []string{"A-1", "A-1"}}, caos.Invalid, "evidence[1]", "twice"},
			"malformed":        {bruno, registry.Closing{Evidence: []string{"a b"}}, caos.Invalid, "evidence[0]", "resource id"},
			"not there":        {bruno, registry.Closing{Evidence: []string{"95-00-07-FCS-002", "EVID-9"}, Known: known}, caos.Invalid, "evidence[1]", "no EVID-9"},
		} {
			_, err := change(func(tx *db.Tx) (*registry.Change, error) { return f.CloseChange(tx, id, try.end, try.by) })
			t.Run(name, func(t *testing.T) { refused(t, err, try.kind, try.at, try.wants) })
		}
		end.Known = known
		c, err = change(func(tx *db.Tx) (*registry.Change, error) { return f.CloseChange(tx, id, end, bruno) })
		f.ok(err)
		if c.Status != registry.ChangeClosed || c.ClosedBy != "bruno" || c.ClosedAt == nil || fmt.Sprint(c.Evidence) != "[95-00-07-FCS-002]" {
			t.Errorf("%+v", c)
		}
		_, err = change(func(tx *db.Tx) (*registry.Change, error) {
			return f.UpdateChange(tx, id, registry.ChangeUpdate{Title: ptr("x")}, 0, anna)
		})
		refused(t, err, caos.Conflict, "", "is CLOSED")
	})
}

func TestChangesRefusedAndListed(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.model("NN-FCS-002")
		good := registry.Change{ModelID: fcs, Title: "t", Class: registry.ClassMinor}
		for name, c := range map[string]struct {
			edit     func(c *registry.Change)
			kind     caos.Kind
			at, says string
		}{
			"no model":       {func(c *registry.Change) { c.ModelID = "NN-NAV-001" }, caos.NotFound, "model_id", ""},
			"class":          {func(c *registry.Change) { c.Class = "MAJOR" }, caos.Invalid, "class", "not known"},
			"no title":       {func(c *registry.Change) { c.Title = " " }, caos.Invalid, "title", "no title"},
			"two lines":      {func(c *registry.Change) { c.Title = "a\nb" }, caos.Invalid, "title", "control"},
			"long":           {func(c *registry.Change) { c.Impact = strings.Repeat("x", 5000) }, caos.TooLarge, "impact", "longer"},
			"owner":          {func(c *registry.Change) { c.Owner = "Flight Control AI Team" }, caos.Invalid, "owner", "user id"},
			"baseline":       {func(c *registry.Change) { c.Baselines = []string{"BL FCS"} }, caos.Invalid, "baselines[0]", ""},
			"project":        {func(c *registry.Change) { c.Project = "other" }, caos.Invalid, "project", "another project"},
			"classification": {func(c *registry.Change) { c.Classification = "Secret" }, caos.Invalid, "classification", "not known"},
			"its id":         {func(c *registry.Change) { c.ChangeID = "FCS-1" }, caos.Invalid, "change_id", "no id"},
		} {
			bad := good
			c.edit(&bad)
			_, err := f.change(bad, anna)
			t.Run(name, func(t *testing.T) { refused(t, err, c.kind, c.at, c.says) })
		}
		for range 3 {
			_, err := f.change(good, anna)
			f.ok(err)
		}
		other := good
		other.ModelID, other.ChangeID = "NN-FCS-002", "CHG-JIRA-77"
		_, err := f.change(other, anna)
		f.ok(err)
		_, err = f.change(other, anna)
		refused(t, err, caos.Conflict, "change_id", "there already")
		other.ChangeID = "CHG-FCS-4" // what the other model would be given next
		_, err = f.change(other, anna)
		f.ok(err)
		past, err := f.change(good, anna)
		f.ok(err)
		if past.ChangeID != "CHG-FCS-5" {
			t.Error(past.ChangeID)
		}
		page, next, err := f.Changes(context.Background(), registry.ChangeFilter{ModelID: fcs, Limit: 2}, "")
		f.ok(err)
		rest, end, err := f.Changes(context.Background(), registry.ChangeFilter{ModelID: fcs, Limit: 2}, next)
		f.ok(err)
		if len(page) != 2 || page[0].ChangeID != "CHG-FCS-5" || len(rest) != 2 || rest[1].ChangeID != "CHG-FCS-1" || end != "" {
			t.Errorf("%v, then %v", page, rest)
		}
		// What is said of a model is at least as high as the model.
		f.must(func(tx *db.Tx) error {
			_, err := f.UpdateModel(tx, fcs, registry.ModelChange{Classification: ptr("Confidential")}, 0, anna)
			return err
		})
		raised, err := f.Change(context.Background(), "CHG-FCS-1")
		f.ok(err)
		if raised.Classification != "Confidential" {
			t.Errorf("%+v", raised)
		}
	})
}

// openOf are the reports that stand against a freeze of a version.
func (f *fixture) openOf(version string) string {
	f.t.Helper()
	var ids []string
	f.must(func(tx *db.Tx) error {
		facts, err := f.FreezeFacts(tx, fcs, version, "95-00-07-FCS-001")
		if err == nil {
			for _, p := range facts.OpenProblems {
				ids = append(ids, p.ProblemID)
			}
		}
		return err
	})
	return strings.Join(ids, " ")
}

func TestProblemReport(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, "2.0.0")
		f.version(fcs, v210)
		p, err := f.problem(registry.ProblemReport{ModelID: fcs, Title: "Oscillates", Severity: registry.High, Baselines: []string{"BL-FCS-2.0.0"}, Owner: "otto"}, anna)
		f.ok(err)
		later, err := f.problem(registry.ProblemReport{ModelID: fcs, Title: "Slow", Severity: registry.Low, Baselines: []string{"BL-FCS-2.1.0"}}, anna)
		f.ok(err)
		_, err = f.problem(registry.ProblemReport{ModelID: fcs, Title: "Everywhere", Severity: registry.Medium}, anna)
		f.ok(err)
		got, err := f.Problem(context.Background(), p.ProblemID)
		f.ok(err)
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", p) || p.ProblemID != "PR-FCS-1" || later.Owner != "anna" {
			t.Errorf("%+v\n%+v", got, p)
		}
		// A problem is in every version from the first in which it was found.
		if a, b := f.openOf("2.0.0"), f.openOf(v210); a != "PR-FCS-1 PR-FCS-3" || b != "PR-FCS-1 PR-FCS-2 PR-FCS-3" {
			t.Errorf("2.0.0: %s; 2.1.0: %s", a, b)
		}
		edit := func(u registry.ProblemUpdate, by registry.By) error {
			return f.update(func(tx *db.Tx) error {
				_, err := f.UpdateProblem(tx, p.ProblemID, u, 0, by)
				return err
			})
		}
		otto := registry.By{Actor: "otto"}
		refused(t, edit(registry.ProblemUpdate{Severity: ptr(registry.Medium)}, otto), caos.Denied, "separation-of-duties", "otto")
		refused(t, edit(registry.ProblemUpdate{Baselines: ptr([]string{"BL-FCS-9.0.0"})}, anna), caos.Denied, "separation-of-duties", "anna")
		refused(t, edit(registry.ProblemUpdate{Status: ptr(registry.ProblemClosed)}, bruno), caos.Invalid, "status", "not known")
		f.ok(edit(registry.ProblemUpdate{Severity: ptr(registry.Critical), Status: ptr(registry.ProblemInProgress), Owner: ptr("olga")}, otto))
		f.ok(edit(registry.ProblemUpdate{Baselines: ptr([]string{"BL-FCS-2.0.0", "BL-FCS-1.9.0"})}, otto))
		refused(t, f.update(func(tx *db.Tx) error {
			_, err := f.UpdateProblem(tx, p.ProblemID, registry.ProblemUpdate{Title: ptr("x")}, 1, anna)
			return err
		}), caos.Conflict, "revision", "revision 3")
		closing := func(e registry.Closing, by registry.By) error {
			return f.update(func(tx *db.Tx) error {
				_, err := f.CloseProblem(tx, p.ProblemID, e, by)
				return err
			})
		}
		end := registry.Closing{Evidence: []string{"95-00-07-FCS-002"}, Statement: "gone"}
		for _, by := range []registry.By{anna, otto, {Actor: "olga"}, {Actor: "bruno", RecordedBy: "otto"}} {
			refused(t, closing(end, by), caos.Denied, "separation-of-duties", "")
		}
		refused(t, closing(registry.Closing{}, bruno), caos.Invalid, "closure_evidence", "nothing shows")
		f.ok(closing(end, bruno))
		refused(t, closing(end, bruno), caos.Conflict, "", "closed already")
		refused(t, edit(registry.ProblemUpdate{Title: ptr("x")}, anna), caos.Conflict, "", "closed")
		if open := f.openOf(v210); open != "PR-FCS-2 PR-FCS-3" {
			t.Errorf("open: %s", open)
		}
		list, _, err := f.Problems(context.Background(), registry.ProblemFilter{Status: registry.ProblemClosed}, "")
		f.ok(err)
		if len(list) != 1 || list[0].Resolution != "gone" || list[0].ClosedBy != "bruno" || list[0].Severity != registry.Critical {
			t.Errorf("%+v", list)
		}
		if n := f.count(`SELECT count(*) FROM events WHERE type LIKE 'caos.problem.%'`); n != 5 {
			t.Errorf("%d events, want 3 raised, 1 changed, 1 closed", n)
		}
	})
}

func (f *fixture) count(query string) (n int) {
	f.t.Helper()
	f.ok(f.d.QueryRow(context.Background(), query).Scan(&n))
	return n
}
