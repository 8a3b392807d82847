package chain

import (
	"context"
	"errors"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// A model that is classified after its record was wanted takes the record, and what is said of
// it, with it.
func TestSubjectFollowsItsModel(t *testing.T) {
	p := newPort(t, db.SQLite)
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		ctx := context.Background()
		p.t, p.url = t, dbtest.URL(t, dialect)
		class := "Internal"
		s := p.sail(nil, func(o *Options) {
			o.Ended = func(*db.Tx, string) (bool, error) { return true, nil }
			o.Class = func(_ *db.Tx, id string) (string, error) {
				if id != passport(1).ModelID {
					return "", caos.Errorf(caos.NotFound, "no model")
				}
				return class, nil
			}
			o.Start = func(context.Context, Subject) (string, error) {
				return "", caos.Errorf(caos.Denied, "the model is classified %s", class)
			}
		})
		other := passport(2)
		other.ModelID = "NN-GONE-001"
		s.change(func(tx *db.Tx) error { return errors.Join(s.Want(tx, passport(1)), s.Want(tx, other)) })
		class = "Restricted"
		for range 8 {
			p.later(time.Minute)
			_, err := s.startNext(ctx)
			ok(t, err)
		}
		of := func(id string) *Subject {
			t.Helper()
			w, err := s.SubjectOf(ctx, KindPassport, id)
			ok(t, err)
			return w
		}
		if one, two := of("DPP-1"), of("DPP-2"); one.Classification != "Restricted" || one.State != Wanted || two.Classification != other.Classification {
			t.Errorf("%+v %+v", one, two)
		}
		s.change(func(tx *db.Tx) error { return s.Link(tx, KindPassport, "DPP-1", "EXEC-9") })
		class = "Confidential"
		p.later(2 * time.Hour)
		ok(t, s.endStarted(ctx))
		if one := of("DPP-1"); one.Classification != "Confidential" || one.State != SubjectFailed {
			t.Errorf("%+v", one)
		}
		var open int
		ok(t, s.d.QueryRow(ctx, `SELECT COUNT(*) FROM alerts WHERE subject = 'DPP-1' AND classification <> 'Confidential'`).Scan(&open))
		if open != 0 || s.alerts("subject_not_recorded") != 1 {
			t.Error("an alert tells more people than may know")
		}
		class = "Public" // what was kept from people is not given to them of itself
		s.change(func(tx *db.Tx) error {
			_, err := s.Again(tx, KindPassport, "DPP-1", By{Actor: "mia"})
			return err
		})
		if one := of("DPP-1"); one.Classification != "Confidential" {
			t.Errorf("%+v", one)
		}
	})
}
