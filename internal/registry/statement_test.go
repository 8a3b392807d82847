package registry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/registry"
)

func statement(entry, body string) registry.Statement {
	return registry.Statement{SourceName: "f.json", SourceDigest: zeroes, Section: "models", Entry: entry, Pointer: "/models/0", Subject: fcs, Kind: "model",
		Body: json.RawMessage(body), Project: "demo"}
}

func TestStatements(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		put := func(list ...registry.Statement) (said []registry.Said, err error) {
			err = f.update(func(tx *db.Tx) (err error) { said, err = f.PutStatements(tx, list, anna); return err })
			return said, err
		}
		outcomes := func(list ...registry.Statement) string {
			said, err := put(list...)
			f.ok(err)
			var out []string
			for _, s := range said {
				out = append(out, string(s.Outcome))
			}
			return strings.Join(out, " ")
		}
		for _, c := range []struct {
			want string
			list []registry.Statement
		}{
			{"CREATED CREATED", []registry.Statement{statement("A", `{"n":1.50}`), statement("B", `{}`)}},
			{"UNCHANGED UNCHANGED", []registry.Statement{statement("A", `{"n":1.50}`), statement("B", `{}`)}},
			{"UPDATED CREATED", []registry.Statement{statement("A", `{"n":1.5}`), statement("C", `[]`)}},
			{"UPDATED", []registry.Statement{statement("A", `{"n":1.50}`)}}, // it says again what it said first
		} {
			if got := outcomes(c.list...); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		}
		var ended []registry.Statement
		f.must(func(tx *db.Tx) (err error) {
			ended, _, err = f.EndMissing(tx, registry.StatementFile{Project: "demo", SourceName: "f.json"}, "", func(s *registry.Statement) bool { return s.Entry != "A" })
			return err
		})
		if len(ended) != 2 {
			t.Errorf("%+v", ended)
		}
		history, _, err := f.Statements(context.Background(), registry.StatementFilter{SourceName: "f.json", Ended: true}, "")
		f.ok(err)
		var lines []string
		byID := map[string]string{"": "-"}
		for _, s := range history {
			byID[s.StatementID] = s.Entry + string(s.Body)
		}
		for _, s := range history {
			lines = append(lines, fmt.Sprint(s.Entry, string(s.Body), " ended ", s.EndedAt != nil, " by ", byID[s.SupersededBy]))
		}
		want := []string{`A{"n":1.50} ended false by -`, `A{"n":1.5} ended true by A{"n":1.50}`, `C[] ended true by -`, `A{"n":1.50} ended true by A{"n":1.5}`, `B{} ended true by -`}
		for _, w := range want {
			if !strings.Contains(strings.Join(lines, "\n")+"\n", w+"\n") {
				t.Errorf("no %s in\n%s", w, strings.Join(lines, "\n"))
			}
		}
		if len(lines) != len(want) {
			t.Error(lines)
		}
		one, err := f.Statement(context.Background(), history[0].StatementID)
		f.ok(err)
		if one.ImportedBy != "anna" || one.Pointer != "/models/0" {
			t.Errorf("%+v", one)
		}
		_, err = f.Statement(context.Background(), "STMT-0")
		refused(t, err, caos.NotFound, "statement_id", "no statement")
		bad := statement("A", `{`)
		_, err = put(bad)
		refused(t, err, caos.Internal, "", "not JSON")
		_, err = put(statement("A", `"`+strings.Repeat("x", 300<<10)+`"`))
		refused(t, err, caos.TooLarge, "", "the limit is")
	})
}

func TestIndustrialisation(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		put := func(i registry.Industrialisation) (out *registry.Industrialisation, o registry.Outcome, err error) {
			i.ModelID = fcs
			err = f.update(func(tx *db.Tx) (err error) { out, o, err = f.PutIndustrialisation(tx, i, anna); return err })
			return out, o, err
		}
		_, _, err := put(registry.Industrialisation{Version: "9.9.9"})
		if caos.KindOf(err) != caos.NotFound {
			t.Error(err)
		}
		_, _, err = put(registry.Industrialisation{Version: v210, Phase: "SOON"})
		refused(t, err, caos.Invalid, "phase", "not known")
		stated := registry.Industrialisation{Version: v210, Phase: registry.Validation, TargetPlatforms: []string{"x"}, ReleaseTarget: "2026-Q1", ProductionReady: true,
			Sections: map[string]json.RawMessage{"hardware_targets": json.RawMessage(`[1]`), "change_log": json.RawMessage(`[]`)}}
		i, o, err := put(stated)
		f.ok(err)
		if o != registry.Created || i.ProductionReady || i.ExecutionID != "" || i.Project != "demo" {
			t.Errorf("%s %+v", o, i)
		}
		if _, o, err = put(stated); err != nil || o != registry.Unchanged {
			t.Error(o, err)
		}
		i, o, err = put(registry.Industrialisation{Version: v210, Sections: map[string]json.RawMessage{"change_log": nil, "data_pipelines": json.RawMessage(`[2]`)}})
		f.ok(err)
		if o != registry.Updated || len(i.Sections) != 2 || i.Phase != registry.Validation || i.ReleaseTarget != "2026-Q1" {
			t.Errorf("%s %+v", o, i)
		}
		// A freeze begins planning with what is there, once.
		for range 2 {
			f.must(func(tx *db.Tx) (err error) {
				i, err = f.OpenIndustrialisation(tx, registry.Industrialisation{ModelID: fcs, Version: v210, ChecklistTemplate: "95-00-09-01-005"},
					registry.By{Actor: "anna", Execution: theExec, Hook: "CAOS.PROD.MODEL.FREEZE"})
				return err
			})
		}
		if i.ExecutionID != theExec || i.Revision != 3 || i.Phase != registry.Validation || i.ChecklistTemplate != "95-00-09-01-005" || len(i.Sections) != 2 {
			t.Errorf("%+v", i)
		}
		got, err := f.Industrialisation(context.Background(), fcs, v210)
		f.ok(err)
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", i) {
			t.Errorf("stored %+v\nmade   %+v", got, i)
		}
		list, next, err := f.Industrialisations(context.Background(), registry.IndustrialisationFilter{Phase: registry.Validation}, "")
		f.ok(err)
		if len(list) != 1 || next != "" {
			t.Errorf("%+v", list)
		}
		_, err = f.Industrialisation(context.Background(), fcs, "2.0.0")
		refused(t, err, caos.NotFound, "version", "no industrialisation record")
	})
}
