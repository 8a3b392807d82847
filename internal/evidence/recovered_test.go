package evidence_test

import (
	"bytes"
	"testing"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/evidence"
)

// A record of a log that a recovery closed stands at an index of another tree: it is proven by
// none of the present one, however large that grows, and the export says so.
func TestPackageBeforeRecovery(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite), nil)
	pkg := w.create(evidence.Package{ModelID: model})
	w.plan(pkg.PackageID, []string{"R-1"}, nil)
	if _, err := w.collect(w.request(pkg.PackageID, w.file("a.txt", "a"), evidence.Document, evidence.Metadata{RequirementIDs: []string{"R-1"}})); err != nil {
		t.Fatal(err)
	}
	w.log.Dispute(auditlog.Dispute{Found: "somebody has more", Has: auditlog.Tree{Size: 99}})
	if _, err := w.log.Recover(t.Context(), []string{"anna", "bo"}, "restored"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // when the new log is smaller than the old one, and when it is larger
		var out bytes.Buffer
		if err := w.Export(t.Context(), pkg.PackageID, evidence.Authority, nil, &out); caos.AsError(err).Rule != "package-before-recovery" || out.Len() > 0 {
			t.Errorf("%v", err)
		}
		w.ok(w.update(func(tx *db.Tx) error {
			for range 50 {
				if _, err := w.log.Append(tx, auditlog.Record{Type: auditlog.Data, Actor: "anna"}); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	after := w.create(evidence.Package{ModelID: model})
	w.plan(after.PackageID, []string{"R-1"}, nil)
	if _, err := w.collect(w.request(after.PackageID, w.file("b.txt", "b"), evidence.Document, evidence.Metadata{RequirementIDs: []string{"R-1"}})); err != nil {
		t.Fatal(err)
	}
	if r := w.verified(w.export(after.PackageID, evidence.Authority)); !r.OK {
		t.Errorf("%+v", r)
	}
}

// Of which log a record is may not be known, because the database does not say: then nothing is
// left out, and no recovery is blamed.
func TestPackageOfUnknownLog(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	w := newWorld(t, d, nil)
	pkg := w.create(evidence.Package{ModelID: model})
	w.plan(pkg.PackageID, []string{"R-1"}, nil)
	if _, err := w.collect(w.request(pkg.PackageID, w.file("a.txt", "a"), evidence.Document, evidence.Metadata{RequirementIDs: []string{"R-1"}})); err != nil {
		t.Fatal(err)
	}
	w.log.Dispute(auditlog.Dispute{Found: "somebody has more", Has: auditlog.Tree{Size: 99}})
	if _, err := w.log.Recover(t.Context(), []string{"anna", "bo"}, "restored"); err != nil {
		t.Fatal(err)
	}
	w.ok(d.Write(t.Context(), func(tx *db.Tx) error {
		tx.Exec(`ALTER TABLE log_closed RENAME TO log_lost`)
		return nil
	}))
	if err := w.Export(t.Context(), pkg.PackageID, evidence.Authority, nil, &bytes.Buffer{}); err == nil || caos.AsError(err).Rule != "" {
		t.Errorf("%v", err)
	}
}
