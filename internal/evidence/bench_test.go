package evidence_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/evidence"
)

// BenchmarkExport writes a package of 10,000 items.
func BenchmarkExport(b *testing.B) {
	const items = 10_000
	w := newWorld(b, dbtest.Open(b, db.SQLite), nil)
	pkg := w.create(evidence.Package{ModelID: model})
	a, err := w.Stage(b.Context(), "t.xml", strings.NewReader(junit("", "")))
	w.ok(err)
	defer a.Close()
	req := w.request(pkg.PackageID, "object://"+a.Ref.Digest, evidence.TestResult, evidence.Metadata{})
	sum, err := w.Inspect(b.Context(), req, a)
	w.ok(err)
	ref, err := w.Store(b.Context(), a)
	w.ok(err)
	for i := 0; i < items; i += 50 {
		var batch []*evidence.Item
		for j := range 50 {
			req.Metadata.RequirementIDs = []string{fmt.Sprintf("REQ-%05d", i+j)}
			it, err := w.Sign(b.Context(), w.NewID(model), req, evidence.Kept{Ref: ref, Summary: sum}, "anna")
			w.ok(err)
			batch = append(batch, it)
		}
		w.ok(w.update(func(tx *db.Tx) error {
			for _, it := range batch {
				if _, err := w.Insert(tx, *it, by); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	size := 0
	for b.Loop() {
		var out bytes.Buffer
		w.ok(w.Export(b.Context(), pkg.PackageID, evidence.Authority, nil, &out))
		size = out.Len()
		b.StopTimer()
		if rep := w.verified(out.Bytes()); !rep.OK || rep.Evidence != items {
			b.Fatalf("%+v", rep)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(size)/1e6, "MB")
	b.ReportMetric(items*float64(b.N)/b.Elapsed().Seconds(), "items/s")
}
