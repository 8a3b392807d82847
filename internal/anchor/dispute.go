package anchor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/verify"
)

// Disputed asks the destinations that DIVERGED once more, and says what they have that the log
// cannot have led to; nil if none says so now. It is for the recovery of a log whose published
// checkpoints were restored together with it, so that only others know more. No other process
// may be at the log.
func (s *Service) Disputed(ctx context.Context) (*auditlog.Dispute, error) {
	g, err := s.newest(ctx)
	if err != nil {
		return nil, err
	}
	var out *auditlog.Dispute
	var found []string
	for _, p := range s.dest {
		row, err := s.row(ctx, p)
		if err != nil {
			return nil, err
		}
		if row.state != Diverged {
			continue
		}
		if row.origin == g.point.Origin {
			g.last = row.size
		}
		var d *divergence
		if _, err := s.give(ctx, p, g); !errors.As(err, &d) {
			continue // it does not answer, or holds it no more
		}
		found = append(found, fmt.Sprintf("%s %s: %s", p.kind(), p.name(), d.what))
		if out == nil {
			out = &auditlog.Dispute{}
		}
		if out.Has.Size < d.has.Size {
			out.Has = auditlog.Tree{Size: d.has.Size}
			if d.has.Root != (tlog.Hash{}) {
				out.Has.Root = verify.FormatHash(d.has.Root)
			}
		}
	}
	if out == nil {
		return nil, nil
	}
	out.Found = clip(strings.Join(found, "; "), 2000)
	out.Agreed, err = s.agreed(ctx, g.point.Origin)
	return out, err
}

// Anew forgets how it stood with every destination: a log that was recovered has a successor,
// which none of them knows. What they confirmed of its predecessor, and alerts about it, stay.
func (s *Service) Anew(ctx context.Context) error {
	return s.opt.DB.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(`UPDATE anchor_destinations SET state = 'OK', attempts = 0, error = '', failing_since = 0, alert_id = '', next_at = 0, busy_until = 0`)
		return nil
	})
}

// agreed is the size of the largest tree that somebody outside confirmed and the log led to.
func (s *Service) agreed(ctx context.Context, origin string) (int64, error) {
	list, _, err := s.List(ctx, Filter{State: Confirmed, Limit: 1000}, "")
	if err != nil {
		return 0, err
	}
	most := int64(0)
	for _, a := range list {
		if a.Origin != origin || a.Size <= most {
			continue
		}
		point, err := pointOf([]byte(a.Checkpoint))
		if err != nil {
			continue // somebody has changed the row
		}
		var d *divergence
		switch err := s.descends(ctx, point); {
		case err == nil:
			most = a.Size
		case !errors.As(err, &d):
			return 0, err
		}
	}
	return most, nil
}
