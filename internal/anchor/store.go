package anchor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/verify"
)

const anchorColumns = `anchor_id, kind, destination, origin, size, root, checkpoint, proof, place, state, error, at, confirmed_at, proved_at,
	chain_id, address, execution_id, transaction_id, tx_hash, block, block_hash, asked_by, project, classification`

// insert writes the row of an anchor. fresh is false when there is one of this destination and
// size: then nothing is written.
func insert(tx *db.Tx, a *Anchor) (fresh bool, err error) {
	chainID := ""
	if a.ChainID != 0 {
		chainID = strconv.FormatUint(a.ChainID, 10)
	}
	proof := a.Proof
	if proof == nil {
		proof = []byte{}
	}
	n, err := tx.ExecRows(`INSERT INTO anchors (`+anchorColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)
		ON CONFLICT (kind, destination, origin, size) DO NOTHING`,
		a.AnchorID, a.Kind, a.Destination, a.Origin, a.Size, a.Root, []byte(a.Checkpoint), proof, a.Place, string(a.State), a.Error,
		db.Micros(a.At), db.Micros(a.ConfirmedAt), db.Micros(a.ProvedAt), chainID, a.Address, a.ExecutionID, a.TransactionID, a.TxHash, int64(a.Block), //nolint:gosec // of a chain's blocks
		a.BlockHash, a.AskedBy, a.Project, a.Classification)
	return n == 1, err
}

func scanAnchor(scan func(...any) error) (*Anchor, error) {
	var a Anchor
	var state, chainID string
	var checkpoint []byte
	var at, confirmed, proved, block int64
	err := scan(&a.AnchorID, &a.Kind, &a.Destination, &a.Origin, &a.Size, &a.Root, &checkpoint, &a.Proof, &a.Place, &state, &a.Error, &at, &confirmed, &proved,
		&chainID, &a.Address, &a.ExecutionID, &a.TransactionID, &a.TxHash, &block, &a.BlockHash, &a.AskedBy, &a.Project, &a.Classification)
	if err != nil {
		return nil, err
	}
	if chainID != "" {
		if a.ChainID, err = strconv.ParseUint(chainID, 10, 64); err != nil {
			return nil, fmt.Errorf("chain of %s: %w", a.AnchorID, err)
		}
	}
	a.State, a.Checkpoint, a.Block = State(state), string(checkpoint), uint64(block) //nolint:gosec // as it was written
	a.At, a.ConfirmedAt, a.ProvedAt = db.Moment(at), db.Moment(confirmed), db.Moment(proved)
	return &a, nil
}

// List returns anchors, the newest first. next is the cursor of the following page, "" after
// the last. Errors: Invalid for a state that is none and a cursor that no List gave.
func (s *Service) List(ctx context.Context, f Filter, cursor string) (page []*Anchor, next string, err error) {
	switch f.State {
	case "", Pending, Confirmed, Failed:
	default:
		return nil, "", invalid("state", "%.40q is not a state of an anchor", f.State).WithHint("one of PENDING, CONFIRMED, FAILED")
	}
	w := new(db.Where)
	w.Is("kind", f.Kind)
	w.Is("destination", f.Destination)
	w.Is("state", string(f.State))
	if f.Size > 0 {
		w.And("size = ?", f.Size)
	}
	return db.Page(s.opt.DB.Reader(ctx), w, db.Listing[*Anchor]{Columns: anchorColumns, From: "anchors", At: "at", ID: "anchor_id", Limit: f.Limit,
		Scan: scanAnchor,
		Key:  func(a *Anchor) (time.Time, string) { return a.At, a.AnchorID },
	}, cursor)
}

// Get returns an anchor. Error: NotFound.
func (s *Service) Get(ctx context.Context, id string) (*Anchor, error) {
	missing := caos.Errorf(caos.NotFound, "there is no anchor %.80q", id).WithField("anchor_id")
	if !db.Storable(id) {
		return nil, missing
	}
	a, err := scanAnchor(s.opt.DB.QueryRow(ctx, `SELECT `+anchorColumns+` FROM anchors WHERE anchor_id = $1`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, missing
	}
	return a, err
}

// Anchors returns confirmed anchors of a log that a holder of its checkpoint of size leaves can
// compare with it: of each destination the newest one of at most as many leaves.
func (s *Service) Anchors(ctx context.Context, origin string, size int64) ([]verify.AnchorFile, error) {
	var out []verify.AnchorFile
	err := s.opt.DB.Reader(ctx)(`SELECT `+anchorColumns+` FROM anchors a WHERE state = 'CONFIRMED' AND origin = $1 AND size = (
			SELECT MAX(size) FROM anchors b WHERE b.kind = a.kind AND b.destination = a.destination AND b.origin = a.origin AND b.state = 'CONFIRMED' AND b.size <= $2)
		ORDER BY kind, destination LIMIT 100`, []any{origin, size},
		func(scan func(...any) error) error {
			a, err := scanAnchor(scan)
			if err == nil {
				out = append(out, a.File())
			}
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read anchors: %w", err)
	}
	return out, nil
}

// destinationRow is a row of anchor_destinations; times are microseconds.
type destinationRow struct {
	state                          Standing
	origin                         string
	size, attempts                 int64
	message, alertID, node         string
	failingSince, triedAt, nextAt  int64
	busyUntil                      int64
	destinationKind, destinationID string
}

const destinationColumns = `kind, destination, origin, state, size, attempts, error, failing_since, alert_id, tried_at, next_at, node, busy_until`

func scanDestination(scan func(...any) error) (destinationRow, error) {
	var r destinationRow
	var state string
	err := scan(&r.destinationKind, &r.destinationID, &r.origin, &state, &r.size, &r.attempts, &r.message, &r.failingSince, &r.alertID, &r.triedAt, &r.nextAt, &r.node, &r.busyUntil)
	r.state = Standing(state)
	return r, err
}

// row reads how it stands with a destination; one that was never tried is OK with nothing.
func (s *Service) row(ctx context.Context, p *place) (destinationRow, error) {
	r, err := scanDestination(s.opt.DB.QueryRow(ctx, `SELECT `+destinationColumns+` FROM anchor_destinations WHERE kind = $1 AND destination = $2`, p.kind(), p.name()).Scan)
	return orNew(r, err)
}

func rowIn(tx *db.Tx, kind, destination string) (destinationRow, error) {
	r, err := scanDestination(tx.QueryRow(`SELECT `+destinationColumns+` FROM anchor_destinations WHERE kind = $1 AND destination = $2`, kind, destination).Scan)
	return orNew(r, err)
}

func orNew(r destinationRow, err error) (destinationRow, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return destinationRow{state: OK}, nil
	}
	if err != nil {
		return r, fmt.Errorf("read the destination of anchors: %w", err)
	}
	return r, nil
}

// claim makes this process the only one at a destination for a while. Two at once would do no
// harm, but make work and twice the anchors.
func (s *Service) claim(ctx context.Context, p *place) (bool, error) {
	now := s.opt.Now()
	var n int64
	err := s.opt.DB.Write(ctx, func(tx *db.Tx) (err error) {
		tx.Exec(`INSERT INTO anchor_destinations (`+destinationColumns+`) VALUES ($1, $2, '', 'OK', 0, 0, '', 0, '', 0, 0, '', 0)
			ON CONFLICT (kind, destination) DO NOTHING`, p.kind(), p.name())
		n, err = tx.ExecRows(`UPDATE anchor_destinations SET node = $1, busy_until = $2 WHERE kind = $3 AND destination = $4 AND (busy_until <= $5 OR node = $6)`,
			s.node, now.Add(2*s.opt.Patience).UnixMicro(), p.kind(), p.name(), now.UnixMicro(), s.node)
		return err
	})
	return n == 1, err
}

// Status tells how it stands with every configured destination.
func (s *Service) Status(ctx context.Context) (*Status, error) {
	size, _, err := s.opt.Log.Root(ctx)
	if err != nil {
		return nil, err
	}
	st := &Status{Size: size, Every: s.opt.Settings.Every.String(), Quorum: s.opt.Settings.Quorum, Kinds: s.kinds()}
	_, st.Recovery = s.opt.Log.Recovery()
	if g, err := s.newest(ctx); err == nil {
		st.Origin = g.point.Origin
	}
	if s.witnessed() {
		if err := s.refresh(ctx); err != nil {
			return nil, err
		}
		if c := s.quorate(st.Origin); c != nil {
			st.CosignedSize = c.point.Size
		}
	}
	st.Destinations, err = s.standings(ctx, s.dest)
	return st, err
}

// standings tells how it stands with some destinations.
func (s *Service) standings(ctx context.Context, places []*place) ([]Destination, error) {
	out := []Destination{}
	for _, p := range places {
		r, err := s.row(ctx, p)
		if err != nil {
			return nil, err
		}
		d := Destination{Kind: p.kind(), Destination: p.name(), State: r.state, Origin: r.origin, Size: r.size, Error: r.message, Attempts: r.attempts,
			FailingSince: db.Moment(r.failingSince), TriedAt: db.Moment(r.triedAt), NextAt: db.Moment(r.nextAt), AlertID: r.alertID}
		newest, _, err := s.List(ctx, Filter{Kind: p.kind(), Destination: p.name(), Limit: 1}, "")
		if err != nil {
			return nil, err
		}
		if len(newest) > 0 {
			d.Anchor = newest[0]
			d.Anchor.Proof = nil // what is long is in the anchor itself
		}
		out = append(out, d)
	}
	return out, nil
}

// clip shortens a text, and makes it one that every database takes.
func clip(s string, n int) string {
	s = strings.ReplaceAll(s, "\x00", "")
	if len(s) > n {
		s = s[:n] + "…"
	}
	return strings.ToValidUTF8(s, "�")
}
