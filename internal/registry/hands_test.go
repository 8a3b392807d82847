package registry_test

import (
	"fmt"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/registry"
)

func (f *fixture) hands(id, version string) (out []registry.Hand, err error) {
	f.t.Helper()
	err = f.update(func(tx *db.Tx) (err error) { out, err = f.Hands(tx, id, version); return err })
	return out, err
}

// said lists hands as person part source.
func said(list []registry.Hand) (out []string) {
	for _, h := range list {
		out = append(out, fmt.Sprintf("%s %s %s", h.Person, h.Part, h.Source))
	}
	return out
}

func TestHands(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		f.version(fcs, "2.2.0")
		_, err := f.attach(fcs, v210, "model.onnx", "inference", "weights")
		f.ok(err)
		hands, err := f.hands(fcs, v210)
		f.ok(err)
		wantList(t, said(hands), "otto OWNER "+fcs)

		// A report on behalf of somebody, superseded by another person's.
		doc := registry.Document{DocumentID: "95-00-07-01-001", Kind: registry.KindVVReport, Version: "1.0"}
		_, err = f.register(doc, report("PASSED", test("T1", "PASSED", "")), registry.By{Actor: "vera", RecordedBy: "sven"})
		f.ok(err)
		doc.Version = "1.1"
		_, err = f.register(doc, report("PASSED", test("T1", "PASSED", ""), test("T2", "PASSED", "")), registry.By{Actor: "walt", RecordedBy: "walt"})
		f.ok(err)
		// A report about another version, and another kind of document, are no hand in this one.
		_, err = f.register(registry.Document{DocumentID: "95-00-07-01-009", Kind: "note", ModelID: fcs, ModelVersion: v210}, "x", registry.By{Actor: "nina"})
		f.ok(err)

		// The model is given away, and given back.
		m, err := f.Model(t.Context(), fcs)
		f.ok(err)
		for _, to := range []string{"olga", "otto"} {
			f.must(func(tx *db.Tx) error {
				_, err := f.UpdateModel(tx, fcs, registry.ModelChange{Owner: of(to)}, 0, registry.By{Actor: m.Owner})
				return err
			})
		}
		f.freeze(fcs, v210)
		hands, err = f.hands(fcs, v210)
		f.ok(err)
		want := []string{"otto OWNER " + fcs}
		m, err = f.Model(t.Context(), fcs)
		f.ok(err)
		for _, id := range m.FormerOwners {
			want = append(want, id+" FORMER_OWNER "+fcs)
		}
		want = append(want, "vera VV_AUTHOR 95-00-07-01-001", "sven VV_AUTHOR_RECORDER 95-00-07-01-001", "walt VV_AUTHOR 95-00-07-01-001",
			"anna FREEZE_REQUESTER FREEZE-"+fcs+"-"+v210)
		wantList(t, said(hands), want...)
		if len(m.FormerOwners) == 0 {
			t.Error("nobody is a former owner")
		}
		hands, err = f.hands(fcs, "2.2.0")
		f.ok(err)
		wantList(t, said(hands), want[:1+len(m.FormerOwners)]...)

		_, err = f.hands("NN-NONE-001", v210)
		wantError(t, err, caos.NotFound, "model_id", "")
		if _, err = f.hands(fcs, "9.9.9"); caos.KindOf(err) != caos.NotFound {
			t.Error(err)
		}
	})
}
