package registry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/registry"
)

func TestDocumentsAreRefused(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		f.model("NN-NAV-001")
		for name, c := range map[string]struct {
			d     registry.Document
			data  string
			kind  caos.Kind
			field string
		}{
			"id":                    {registry.Document{DocumentID: "../../x", Kind: "design"}, "x", caos.Invalid, "document_id"},
			"version":               {registry.Document{DocumentID: "95-00-01", Version: "one", Kind: "design"}, "x", caos.Invalid, "version"},
			"long version":          {registry.Document{DocumentID: "95-00-01", Version: "1.0-aaaaaaaaaaaaaa", Kind: "design"}, "x", caos.Invalid, "version"},
			"kind":                  {registry.Document{DocumentID: "95-00-01", Kind: "Design"}, "x", caos.Invalid, "kind"},
			"title":                 {registry.Document{DocumentID: "95-00-01", Kind: "design", Title: " "}, "x", caos.Invalid, "title"},
			"two lines":             {registry.Document{DocumentID: "95-00-01", Kind: "design", Title: "a\nb"}, "x", caos.Invalid, "title"},
			"model id":              {registry.Document{DocumentID: "95-00-01", Kind: "design", ModelID: "FCS"}, "x", caos.Invalid, "model_id"},
			"unknown model":         {registry.Document{DocumentID: "95-00-01", Kind: "design", ModelID: "NN-FCS-009"}, "x", caos.NotFound, "model_id"},
			"unknown version":       {registry.Document{DocumentID: "95-00-01", Kind: "design", ModelID: fcs, ModelVersion: "9.9.9"}, "x", caos.NotFound, "model_version"},
			"version without model": {registry.Document{DocumentID: "95-00-01", Kind: "design", ModelVersion: v210}, "x", caos.Invalid, "model_id"},
			"media type":            {registry.Document{DocumentID: "95-00-01", Kind: "design", MediaType: "pdf/"}, "x", caos.Invalid, "media_type"},
			"classification":        {registry.Document{DocumentID: "95-00-01", Kind: "design", Classification: "Top"}, "x", caos.Invalid, "classification"},
			"zero bytes":            {registry.Document{DocumentID: "95-00-01", Kind: "design"}, "", caos.Invalid, "digest"},
			"report of other model": {registry.Document{DocumentID: "95-00-07-01-001", Kind: "vv-report", ModelID: "NN-NAV-001"}, report("PASSED"), caos.Invalid, "model_id"},
			"report of other version": {registry.Document{DocumentID: "95-00-07-01-001", Kind: "vv-report", ModelID: fcs, ModelVersion: "2.0.0"}, report("PASSED"),
				caos.Invalid, "model_version"},
			"report under other id":  {registry.Document{DocumentID: "95-00-07-01-002", Kind: "vv-report"}, report("PASSED"), caos.Invalid, "document_id"},
			"defects of other model": {registry.Document{DocumentID: "95-00-07-01-003", Kind: "defect-list", ModelID: "NN-NAV-001"}, defects, caos.Invalid, "model_id"},
			"broken report":          {registry.Document{DocumentID: "95-00-07-01-001", Kind: "vv-report"}, `{"status":"PASSED"`, caos.Invalid, ""},
		} {
			_, err := f.register(c.d, c.data, anna)
			t.Run(name, func(t *testing.T) { wantError(t, err, c.kind, c.field, "") })
		}
		docs, _, err := f.Documents(context.Background(), registry.DocumentFilter{}, "")
		f.ok(err)
		if len(docs) != 0 || len(f.emitted("caos.document.registered")) != 0 {
			t.Errorf("refusals left %d documents", len(docs))
		}

		// What was not read, or was read as something else, is not registered.
		digest := f.put(report("PASSED"))
		other, err := f.ReadDocument(context.Background(), "design", digest)
		f.ok(err)
		for _, p := range []*registry.Parsed{nil, {}, other} {
			err := f.update(func(tx *db.Tx) error {
				_, err := f.RegisterDocument(tx, registry.Document{DocumentID: "95-00-07-01-001", Version: "1.0", Kind: "vv-report", Title: "x", Digest: digest}, p, anna)
				return err
			})
			wantError(t, err, caos.Internal, "", "without having been read")
		}
	})
}

func TestDocuments(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		ctx := context.Background()
		vv := registry.Document{DocumentID: "95-00-07-01-001", Kind: "vv-report", Title: "V&V report", Project: "elsewhere", Classification: "Public"}
		d, err := f.register(vv, report("FAILED", test("T-1", "FAILED", "")), registry.By{Actor: "anna", RecordedBy: "ci-bot"})
		f.ok(err)
		if d.Status != registry.DocumentRegistered || d.Stated != "FAILED" || d.ModelID != fcs || d.ModelVersion != v210 || d.MediaType != "application/json" ||
			d.Project != "demo" || d.Classification != "Internal" || d.RegisteredBy != "anna" || d.RecordedBy != "ci-bot" || d.Size == 0 {
			t.Errorf("registered %+v", d)
		}
		same, err := f.register(vv, report("FAILED", test("T-1", "FAILED", "")), bruno)
		f.ok(err)
		if same.RegisteredBy != "anna" {
			t.Error("the same document again was another one")
		}
		_, err = f.register(vv, report("PASSED", test("T-1", "PASSED", "")), anna)
		wantError(t, err, caos.Conflict, "version", "other content")
		vv.Version = "0.9"
		_, err = f.register(vv, report("PASSED", test("T-1", "PASSED", "")), anna)
		wantError(t, err, caos.Invalid, "version", "not higher than 1.0")
		vv.Version = "1.0.0" // equal to 1.0
		_, err = f.register(vv, report("PASSED", test("T-1", "PASSED", "")), anna)
		wantError(t, err, caos.Invalid, "version", "not higher than 1.0")
		_, err = f.register(registry.Document{DocumentID: vv.DocumentID, Version: "2.0", Kind: "design"}, "x", anna)
		wantError(t, err, caos.Conflict, "kind", "vv-report")
		vv.Version = "1.1"
		second, err := f.register(vv, report("PASSED", test("T-1", "PASSED", "")), anna)
		f.ok(err)
		got, err := f.Document(ctx, vv.DocumentID)
		f.ok(err)
		var results registry.VVReport
		f.ok(json.Unmarshal(got.Results, &results))
		if got.Version != "1.1" || got.Stated != "PASSED" || results.Tests[0].TestID != "T-1" || got.Digest != second.Digest {
			t.Errorf("latest %+v", got)
		}
		all, err := f.DocumentVersions(ctx, vv.DocumentID)
		f.ok(err)
		if len(all) != 2 || all[0].Version != "1.1" || all[1].Status != registry.DocumentSuperseded || all[0].Results != nil {
			t.Errorf("versions %+v", all)
		}
		old, err := f.DocumentVersion(ctx, vv.DocumentID, "1.0")
		f.ok(err)
		if old.Stated != "FAILED" || old.Results == nil {
			t.Errorf("first %+v", old)
		}
		_, err = f.DocumentVersion(ctx, vv.DocumentID, "3.0")
		wantError(t, err, caos.NotFound, "version", "")
		_, err = f.Document(ctx, "95-00-99")
		wantError(t, err, caos.NotFound, "document_id", "")
		_, err = f.DocumentVersions(ctx, "95-00-99")
		wantError(t, err, caos.NotFound, "document_id", "")
		wantList(t, f.records(vv.DocumentID), "document registered", "document registered")

		events := f.emitted("caos.document.registered")
		if len(events) != 2 || events[1].Subject != vv.DocumentID || events[1].Project != "demo" {
			t.Fatalf("events %+v", events)
		}
		var data map[string]string
		f.ok(events[1].Decode(&data))
		want := map[string]string{"document_id": vv.DocumentID, "version": "1.1", "kind": "vv-report", "model_id": fcs, "model_version": v210, "status": "PASSED"}
		if fmt.Sprint(data) != fmt.Sprint(want) {
			t.Errorf("event %v", data)
		}
		refs, err := f.objects.References(ctx, second.Digest)
		f.ok(err)
		if len(refs) != 1 || refs[0].Owner != "95-00-07-01-001@1.1" || refs[0].Project != "demo" {
			t.Errorf("bound by %+v", refs)
		}
	})
}

func TestDocumentsAreListed(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		for i, kind := range []string{"design", "model-card", "design", "requirements"} {
			_, err := f.register(registry.Document{DocumentID: fmt.Sprintf("95-00-0%d", i), Kind: kind, ModelID: fcs, Project: "x"}, fmt.Sprint("data", i), anna)
			f.ok(err)
		}
		_, err := f.register(registry.Document{DocumentID: "95-00-00", Version: "1.1", Kind: "design", ModelID: fcs}, "more", anna)
		f.ok(err)
		_, err = f.register(registry.Document{DocumentID: "95-00-09", Kind: "design", Project: "other"}, "elsewhere", anna)
		f.ok(err)
		walk := func(q registry.DocumentFilter) (got []string) {
			cursor := ""
			for range 10 {
				docs, next, err := f.Documents(context.Background(), q, cursor)
				f.ok(err)
				for _, d := range docs {
					got = append(got, d.DocumentID+"@"+d.Version)
				}
				if cursor = next; next == "" {
					break
				}
			}
			return got
		}
		wantList(t, walk(registry.DocumentFilter{Limit: 2}), "95-00-09@1.0", "95-00-00@1.1", "95-00-03@1.0", "95-00-02@1.0", "95-00-01@1.0", "95-00-00@1.0")
		wantList(t, walk(registry.DocumentFilter{Kind: "design", Latest: true, ModelID: fcs, Limit: 1}), "95-00-00@1.1", "95-00-02@1.0")
		wantList(t, walk(registry.DocumentFilter{Project: "other"}), "95-00-09@1.0")
		wantList(t, walk(registry.DocumentFilter{DocumentID: "95-00-00"}), "95-00-00@1.1", "95-00-00@1.0")
		wantList(t, walk(registry.DocumentFilter{Status: registry.DocumentSuperseded}), "95-00-00@1.0")
		wantList(t, walk(registry.DocumentFilter{ModelID: fcs, ModelVersion: v210}))
		_, _, err = f.Documents(context.Background(), registry.DocumentFilter{}, "?")
		wantError(t, err, caos.Invalid, "cursor", "")

		// A document does not change its project, and is never classified lower than before.
		_, err = f.register(registry.Document{DocumentID: "95-00-09", Version: "2.0", Kind: "design", Project: "mine"}, "taken", anna)
		wantError(t, err, caos.Denied, "document_id", "another project")
		_, err = f.register(registry.Document{DocumentID: "95-00-10", Kind: "design", Classification: "Restricted"}, "high", anna)
		f.ok(err)
		d, err := f.register(registry.Document{DocumentID: "95-00-10", Version: "2.0", Kind: "design", Classification: "Public"}, "low", anna)
		f.ok(err)
		if d.Classification != "Restricted" {
			t.Errorf("the second version is %s", d.Classification)
		}
	})
}

func TestDocumentsAreDecided(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		doc := registry.Document{DocumentID: "95-00-08-01-001", Kind: "safety-assessment", ModelID: fcs, ModelVersion: v210}
		_, err := f.register(doc, "safe", registry.By{Actor: "anna", RecordedBy: "ci-bot"})
		f.ok(err)
		yes := registry.Decision{DocumentID: doc.DocumentID, Version: "1.0", Approve: true, Statement: "read it all"}
		for _, by := range []registry.By{
			{Actor: "anna"}, {Actor: "anna", RecordedBy: "bruno"}, {Actor: "bruno", RecordedBy: "anna"}, {Actor: "bruno", RecordedBy: "ci-bot"}, {Actor: "ci-bot"},
		} {
			_, err := f.decide(yes, by)
			wantError(t, err, caos.Denied, "", "cannot decide")
			if rule := caos.AsError(err).Rule; rule != "decided-by-registrar" {
				t.Errorf("refused by the rule %q", rule)
			}
		}
		no := yes
		no.Approve, no.Statement = false, " \n"
		_, err = f.decide(no, bruno)
		wantError(t, err, caos.Invalid, "statement", "says why")
		_, err = f.decide(registry.Decision{DocumentID: "95-00-99", Approve: true}, bruno)
		wantError(t, err, caos.NotFound, "document_id", "")
		_, err = f.decide(registry.Decision{DocumentID: doc.DocumentID, Version: "2.0", Approve: true}, bruno)
		wantError(t, err, caos.NotFound, "version", "")
		d, err := f.decide(yes, bruno)
		f.ok(err)
		if d.Status != registry.DocumentApproved || d.DecidedBy != "bruno" || d.DecidedAt == nil || d.Statement != "read it all" {
			t.Errorf("decided %+v", d)
		}
		_, err = f.decide(no, registry.By{Actor: "carla"})
		wantError(t, err, caos.Invalid, "statement", "")
		no.Statement = "on second thought"
		_, err = f.decide(no, registry.By{Actor: "carla"})
		wantError(t, err, caos.Conflict, "version", "bruno decided")

		// The next version has to be decided anew, and what was decided stays known.
		doc.Version = "1.1"
		_, err = f.register(doc, "safer", anna)
		f.ok(err)
		_, err = f.decide(yes, bruno)
		wantError(t, err, caos.Conflict, "version", "superseded by 1.1")
		no.Version = ""
		_, err = f.decide(no, bruno)
		f.ok(err)
		all, err := f.DocumentVersions(context.Background(), doc.DocumentID)
		f.ok(err)
		if all[0].Status != registry.DocumentRejected || all[1].Status != registry.DocumentSuperseded || all[1].Decision != registry.DocumentApproved || all[1].DecidedBy != "bruno" {
			t.Errorf("%+v %+v", all[0], all[1])
		}
		var rejected []string
		f.ok(f.d.Update(context.Background(), func(tx *db.Tx) (err error) {
			rejected, err = f.RejectedDocuments(tx, doc.ModelID)
			return err
		}))
		wantList(t, rejected, doc.DocumentID)
		wantList(t, f.records(doc.DocumentID), "document decided", "document registered", "document decided", "document registered")
		if n := len(f.emitted("caos.document.decided")); n != 2 {
			t.Errorf("%d events of decisions", n)
		}
	})
}

// Who adds document after document cannot make a freeze look at more than it has time for,
// nor push one out of its sight.
func TestTooManyDocuments(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		for i := range 10 {
			_, err := f.register(registry.Document{DocumentID: fmt.Sprintf("95-00-%02d", i), Kind: "defect-list"}, defects, anna)
			f.ok(err)
		}
		_, err := f.register(registry.Document{DocumentID: "95-00-10", Kind: "defect-list"}, defects, anna)
		wantError(t, err, caos.TooLarge, "document_id", "10 documents")
		_, err = f.register(registry.Document{DocumentID: "95-00-07", Version: "2.0", Kind: "defect-list"}, defects, anna)
		f.ok(err)
	})
}
