package registry_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/registry"
)

func TestModelsAreRefused(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		good := registry.Model{ModelID: fcs, Name: "Flight control"}
		for name, c := range map[string]struct {
			change func(*registry.Model)
			kind   caos.Kind
			field  string
		}{
			"lower case":       {func(m *registry.Model) { m.ModelID = "nn-fcs-001" }, caos.Invalid, "model_id"},
			"no serial":        {func(m *registry.Model) { m.ModelID = "NN-FCS" }, caos.Invalid, "model_id"},
			"hyphen in system": {func(m *registry.Model) { m.ModelID = "NN-FCS-A-001" }, caos.Invalid, "model_id"},
			"path":             {func(m *registry.Model) { m.ModelID = "NN-FCS-001/../x" }, caos.Invalid, "model_id"},
			"no name":          {func(m *registry.Model) { m.Name = "  " }, caos.Invalid, "name"},
			"two lines":        {func(m *registry.Model) { m.Name = "a\nb" }, caos.Invalid, "name"},
			"no text":          {func(m *registry.Model) { m.Name = "a\xff" }, caos.Invalid, "name"},
			"long family":      {func(m *registry.Model) { m.Family = strings.Repeat("x", 65) }, caos.Invalid, "family"},
			"safety level":     {func(m *registry.Model) { m.SafetyLevel = "DAL-F" }, caos.Invalid, "safety_level"},
			"owner":            {func(m *registry.Model) { m.Owner = "Flight Control AI Team" }, caos.Invalid, "owner"},
			"classification":   {func(m *registry.Model) { m.Classification = "Secret" }, caos.Invalid, "classification"},
			"long description": {func(m *registry.Model) { m.Description = strings.Repeat("x", 4001) }, caos.TooLarge, "description"},
			"null byte":        {func(m *registry.Model) { m.Description = "a\x00b" }, caos.Invalid, "description"},
		} {
			m := good
			c.change(&m)
			err := f.update(func(tx *db.Tx) error { _, err := f.CreateModel(tx, m, anna); return err })
			t.Run(name, func(t *testing.T) { wantError(t, err, c.kind, c.field, "") })
		}
		models, _, err := f.Models(context.Background(), registry.ModelFilter{}, "")
		f.ok(err)
		if len(models) != 0 || len(f.records(fcs)) != 0 {
			t.Errorf("refusals left %d models and records %v", len(models), f.records(fcs))
		}
	})
}

func TestModels(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		m := f.model(fcs)
		if m.Revision != 1 || m.CreatedBy != "anna" || m.Owner != "otto" || m.CreatedAt.IsZero() {
			t.Errorf("created %+v", m)
		}
		err := f.update(func(tx *db.Tx) error { _, err := f.CreateModel(tx, *m, bruno); return err })
		wantError(t, err, caos.Conflict, "model_id", "there already")
		change := func(c registry.ModelChange, revision int64) (out *registry.Model, err error) {
			err = f.update(func(tx *db.Tx) (err error) {
				out, err = f.UpdateModel(tx, fcs, c, revision, bruno)
				return err
			})
			return out, err
		}
		got, err := change(registry.ModelChange{Owner: of("olga"), Description: of("It flies.\nWell.")}, 1)
		f.ok(err)
		if got.Revision != 2 || got.Owner != "olga" || got.Description != "It flies.\nWell." {
			t.Errorf("changed %+v", got)
		}
		wantList(t, got.FormerOwners, "otto")
		_, err = change(registry.ModelChange{Name: of("x")}, 1)
		wantError(t, err, caos.Conflict, "revision", "revision 2, not 1")
		_, err = change(registry.ModelChange{Owner: of("Nobody Known")}, 0)
		wantError(t, err, caos.Invalid, "owner", "")
		got, err = change(registry.ModelChange{Owner: of("olga")}, 0) // as it is
		f.ok(err)
		if got.Revision != 2 {
			t.Errorf("a change of nothing made revision %d", got.Revision)
		}
		got, err = change(registry.ModelChange{Owner: of("otto")}, 0)
		f.ok(err)
		wantList(t, got.FormerOwners, "olga", "otto")
		back, err := f.Model(context.Background(), fcs)
		f.ok(err)
		if back.Owner != "otto" || back.Revision != 3 || back.Project != "demo" || back.Classification != "Internal" || !back.CreatedAt.Equal(m.CreatedAt) {
			t.Errorf("read %+v", back)
		}
		wantList(t, f.records(fcs), "model changed", "model changed", "model created")
		_, err = f.Model(context.Background(), "NN-FCS-002")
		wantError(t, err, caos.NotFound, "model_id", "NN-FCS-002")
		_, err = f.Model(context.Background(), "../etc")
		wantError(t, err, caos.Invalid, "model_id", "")
		err = f.update(func(tx *db.Tx) error {
			_, err := f.UpdateModel(tx, "NN-FCS-009", registry.ModelChange{}, 0, anna)
			return err
		})
		wantError(t, err, caos.NotFound, "model_id", "")
	})
}

func TestModelsAreListed(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		for _, id := range []string{"NN-A-001", "NN-B-001", "NN-C-001", "NN-D-001", "NN-E-001"} {
			f.model(id)
		}
		var got []string
		cursor := ""
		for page := 0; page < 4; page++ {
			models, next, err := f.Models(context.Background(), registry.ModelFilter{Project: "demo", Family: "MLP", Owner: "otto", Limit: 2}, cursor)
			f.ok(err)
			for _, m := range models {
				got = append(got, m.ModelID)
			}
			if cursor = next; next == "" {
				break
			}
		}
		wantList(t, got, "NN-E-001", "NN-D-001", "NN-C-001", "NN-B-001", "NN-A-001")
		for _, none := range []registry.ModelFilter{{Project: "other"}, {Family: "CNN"}, {Owner: "anna"}} {
			models, next, err := f.Models(context.Background(), none, "")
			f.ok(err)
			if len(models) != 0 || models == nil || next != "" {
				t.Errorf("%+v: %v %q", none, models, next)
			}
		}
		for _, nonsense := range []string{"a\x00b", "\xff"} {
			models, _, err := f.Models(context.Background(), registry.ModelFilter{Project: nonsense}, "")
			f.ok(err)
			if len(models) != 0 {
				t.Errorf("%q: %v", nonsense, models)
			}
			_, _, err = f.Models(context.Background(), registry.ModelFilter{}, db.Cursor(time.Now(), nonsense))
			wantError(t, err, caos.Invalid, "cursor", "")
		}
		_, _, err := f.Models(context.Background(), registry.ModelFilter{}, "not a cursor")
		wantError(t, err, caos.Invalid, "cursor", "")
	})
}

// A model that becomes confidential takes everything of it along, bytes included.
func TestReclassified(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		a, err := f.attach(fcs, v210, "weights.bin", "weights", "weights")
		f.ok(err)
		_, err = f.register(registry.Document{DocumentID: "95-00-01", Kind: "design", ModelID: fcs}, "a design", anna)
		f.ok(err)
		_, err = f.register(registry.Document{DocumentID: "95-00-02", Kind: "design", ModelID: fcs, Classification: "Regulated"}, "another design", anna)
		f.ok(err)
		f.freeze(fcs, v210)
		var links []string
		for _, end := range []string{fcs, fcs + "@" + v210, "BL-FCS-2.1.0"} {
			l, _, err := f.link(link("REQ-1", "Requirement", registry.Implements, end, "Model"), anna)
			f.ok(err)
			links = append(links, l.LinkID)
		}
		set := func(c string) {
			f.must(func(tx *db.Tx) error {
				_, err := f.UpdateModel(tx, fcs, registry.ModelChange{Classification: &c}, 0, anna)
				return err
			})
		}
		read := func() []string {
			v, err := f.Version(context.Background(), fcs, v210)
			f.ok(err)
			b, err := f.Baseline(context.Background(), "BL-FCS-2.1.0")
			f.ok(err)
			low, err := f.Document(context.Background(), "95-00-01")
			f.ok(err)
			high, err := f.Document(context.Background(), "95-00-02")
			f.ok(err)
			refs, err := f.objects.References(context.Background(), a.Digest)
			f.ok(err)
			design, err := f.objects.References(context.Background(), low.Digest)
			f.ok(err)
			return []string{v.Classification, b.Classification, low.Classification, high.Classification, refs[0].Classification, design[0].Classification}
		}
		set("Confidential")
		wantList(t, read(), "Confidential", "Confidential", "Confidential", "Regulated", "Confidential", "Confidential")
		for _, id := range links {
			if l, err := f.Link(context.Background(), id); err != nil || l.Classification != "Confidential" {
				t.Errorf("%+v, %v", l, err)
			}
		}
		set("Public")
		wantList(t, read(), "Public", "Public", "Confidential", "Regulated", "Public", "Confidential")
	})
}
