package importer_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/examples/programme"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/event"
	"caos/internal/importer"
	"caos/internal/readiness"
)

// nobody is an installation without people: imports ask for none.
type nobody struct{}

func (nobody) KnownPerson(*db.Tx, string) (bool, error)                  { return false, nil }
func (nobody) WithRole(*db.Tx, string, string, string) ([]string, error) { return nil, nil }
func (nobody) RolesOf(*db.Tx, string) ([]string, error)                  { return nil, nil }
func (nobody) Parties(*db.Tx, caos.Principal) ([]string, error)          { return nil, nil }
func (nobody) ActiveKey(*db.Tx, string, string) (string, error)          { return "", nil }

// A readiness table stands beside the items of the checklist that is there for its baseline,
// and answers none of them, whatever it states.
func TestReadinessTableOnChecklist(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		ctx := context.Background()
		now := func() time.Time { return time.UnixMicro(w.clock.Add(1000)) }
		stamps := caos.NewStamper(now, time.Time{}, 0, 1)
		events, err := event.Open(event.Options{DB: d, Stamps: stamps, Now: now, Log: slog.New(slog.DiscardHandler), Poll: time.Hour})
		w.ok(err)
		t.Cleanup(events.Close)
		r, err := readiness.Open(readiness.Options{DB: d, Log: w.log, Events: events, Stamps: stamps, Now: now, People: nobody{}, Keys: nobody{}})
		w.ok(err)
		w.ok(r.Ship(ctx))
		opt := programmeProject
		opt.Readiness = r
		w.run(programme.Registry, file(t, programme.Registry), opt)
		opt.Baseline = "BL-FCS-2.1.0"
		early := w.run(programme.Readiness, file(t, programme.Readiness), opt)
		if !strings.Contains(strings.Join(early.Notes, "\n"), "has no readiness checklist yet") {
			t.Errorf("before there is a checklist: %q", early.Notes)
		}
		var c *readiness.Checklist
		w.ok(w.do(func(tx *db.Tx) (err error) {
			c, err = r.OpenChecklist(tx, readiness.ShippedTemplate, readiness.Subject{ModelID: "NN-FCS-001", Version: "2.1.0", BaselineID: "BL-FCS-2.1.0", Project: "ampel"}, readiness.By{Actor: "carla"})
			return err
		}))
		counted := func(rep *importer.Report) (out importer.Counts) {
			for _, m := range rep.Mapped {
				if m.As == "checklist items" {
					out = m.Counts
				}
			}
			return out
		}
		dry := opt
		dry.DryRun = true
		before := w.rows()
		if rep := w.run(programme.Readiness, file(t, programme.Readiness), dry); counted(rep).Updated != 12 || w.rows() != before {
			t.Errorf("dry run: %+v", rep.Mapped)
		}
		if rep := w.run(programme.Readiness, file(t, programme.Readiness), opt); counted(rep) != (importer.Counts{Updated: 12}) || !rep.Changed {
			t.Errorf("%+v %q", rep.Mapped, rep.Notes)
		}
		if rep := w.run(programme.Readiness, file(t, programme.Readiness), opt); counted(rep) != (importer.Counts{Unchanged: 12}) || rep.Changed {
			t.Errorf("again: %+v", rep.Mapped)
		}
		c, err = r.Checklist(ctx, c.ChecklistID)
		w.ok(err)
		stated := 0
		for _, i := range c.Items {
			if i.Status != readiness.ItemPlanned || len(i.Evidence) != 0 {
				t.Errorf("a table answered %s: %+v", i.ItemID, i)
			}
			if i.Imported != "" {
				stated++
			}
			if i.ItemID == "4.1" && (i.Note != "85% complete" || i.Imported != programme.Readiness+" states: status IN_PROGRESS, owner Data Engineering, date 2025-11-30") {
				t.Errorf("%q, %q", i.Imported, i.Note)
			}
		}
		if stated != 12 {
			t.Errorf("%d items have statements", stated)
		}
		rep := w.run("t.csv", []byte("Category,Item,Status,Owner,Target_Date,Notes\nModel,Safety Approved,DONE,\"A, \"\"B\"\"\",2026-01-01,\"a\nb\"\nModel,Something Else,x,,,\n"), opt)
		if counted(rep).Updated != 1 || !strings.Contains(strings.Join(rep.Notes, "\n"), `"Model / Something Else"`) {
			t.Errorf("%+v %q", rep.Mapped, rep.Notes)
		}
	})
}

func (nobody) KeyStood(*db.Tx, string, time.Time) (bool, error) { return true, nil }
