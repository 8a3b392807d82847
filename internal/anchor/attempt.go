package anchor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"caos"
	"caos/internal/alert"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/event"
	"caos/internal/verify"
)

// divergence is the error of a destination that holds what this log cannot have led to.
type divergence struct {
	what string
	has  verify.Checkpoint // what it holds; no size if it is not known, no root if that is not
}

// Error says what it holds.
func (d *divergence) Error() string { return d.what }

func diverged(format string, args ...any) *divergence {
	return &divergence{what: fmt.Sprintf(format, args...)}
}

// holding says of which tree a divergence is.
func (d *divergence) holding(c verify.Checkpoint) *divergence { d.has = c; return d }

// newest is the log's newest checkpoint. In recovery mode there is none: Unavailable.
func (s *Service) newest(ctx context.Context) (given, error) {
	note, err := s.opt.Log.Checkpoint(ctx)
	if err != nil {
		return given{}, err
	}
	c, err := pointOf(note)
	return given{note: note, point: c, at: s.opt.Now()}, err
}

// pointOf reads what a signed checkpoint says, without looking at signatures.
func pointOf(note []byte) (verify.Checkpoint, error) {
	i := bytes.LastIndex(note, []byte("\n\n"))
	if i < 0 {
		return verify.Checkpoint{}, invalid("checkpoint", "a checkpoint without a signature")
	}
	return verify.ParseCheckpoint(note[:i+1])
}

// descends says whether the log has led from an earlier checkpoint to what it is now; if it
// cannot have, the error is a divergence.
func (s *Service) descends(ctx context.Context, c verify.Checkpoint) error {
	size, root, err := s.opt.Log.Root(ctx)
	switch {
	case err != nil:
		return err
	case c.Size > size:
		return diverged("it has a checkpoint of %d leaves (root %s), and the log has %d", c.Size, verify.FormatHash(c.Root), size).holding(c)
	case c.Size == 0:
		return nil
	}
	proof, err := s.opt.Log.Consistency(ctx, c.Size, size)
	if err != nil {
		return err
	}
	if verify.CheckConsistency(proof, c, verify.Checkpoint{Origin: c.Origin, Size: size, Root: root}) != nil {
		return diverged("its checkpoint of %d leaves has the root %s, which the log of %d leaves did not have", c.Size, verify.FormatHash(c.Root), size).holding(c)
	}
	return nil
}

// attempt gives a destination the newest checkpoint if it is due. by is who asked for it, ""
// for nobody: then it is due when its time has come and something has happened. p.busy is
// held. What a destination does wrong is written into its row; an error is one of ours.
func (s *Service) attempt(ctx context.Context, p *place, by string) error {
	row, err := s.row(ctx, p)
	if err != nil {
		return err
	}
	if by == "" && s.opt.Now().Before(db.Moment(row.nextAt)) {
		return nil
	}
	g, err := s.newest(ctx)
	if caos.KindOf(err) == caos.Unavailable && by == "" {
		return nil // recovery mode: there is no checkpoint, and the log says so
	}
	if err != nil {
		return err
	}
	if row.origin == g.point.Origin {
		g.last = row.size
	}
	if g.point.Size <= g.last {
		return nil // it has it
	}
	if by == "" && row.state == OK && g.last > 0 {
		quiet, err := s.quiet(ctx, p, span{g.point.Origin, g.last, g.point.Size})
		if err != nil || quiet {
			return err
		}
	}
	if by == "" {
		if g, err = s.repeated(ctx, p, g); err != nil {
			return err
		}
	}
	claimed, err := s.claim(ctx, p)
	if err != nil {
		return err
	}
	if !claimed {
		if by != "" {
			return caos.Errorf(caos.Conflict, "another node is at it")
		}
		return nil
	}
	answer, failure := s.give(ctx, p, g)
	if ctx.Err() != nil {
		return ctx.Err() // nobody knows; the next one finds out
	}
	if failure != nil {
		return s.failed(ctx, p, row, failure)
	}
	if by == "" {
		by = caos.SystemPrincipal().ID
	}
	if err := s.succeeded(ctx, outcome{p: p, row: row, g: g, answer: answer, by: by}); err != nil {
		return err
	}
	if p.kind() == verify.AnchorWitness {
		return s.refresh(ctx)
	}
	return nil
}

// give asks a destination, and does not wait longer than it has patience, even where a file
// system hangs that no context can end.
func (s *Service) give(ctx context.Context, p *place, g given) (got, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opt.Patience)
	defer cancel()
	type pair struct {
		got
		err error
	}
	if !p.asked.CompareAndSwap(false, true) {
		return got{}, caos.Errorf(caos.Unavailable, "it has not answered the attempt before yet")
	}
	done := make(chan pair, 1)
	go func() {
		answer, err := p.give(ctx, g)
		p.asked.Store(false)
		done <- pair{answer, err}
	}()
	select {
	case r := <-done:
		return r.got, r.err
	case <-ctx.Done():
	}
	select { // most of them end with the context, in words
	case r := <-done:
		return r.got, r.err
	case <-time.After(time.Second):
		return got{}, caos.Errorf(caos.Unavailable, "it did not answer within %s", s.opt.Patience)
	}
}

// outcome is what came of giving a checkpoint.
type outcome struct {
	p      *place
	row    destinationRow
	g      given
	answer got
	by     string
}

// anchor is the row of an outcome.
func (s *Service) anchor(o outcome) *Anchor {
	a := &Anchor{
		AnchorID: s.opt.Stamps.ID("ANCHOR-"), Kind: o.p.kind(), Destination: o.p.name(), Origin: o.g.point.Origin, Size: o.g.point.Size, Root: o.g.point.Root.String(),
		State: Confirmed, At: o.g.at, ConfirmedAt: s.opt.Now(), ProvedAt: o.answer.proved, Place: o.answer.place, AskedBy: o.by,
		Checkpoint: string(o.g.note) + string(o.answer.cosignature), Proof: o.answer.proof, Classification: "Public",
	}
	if c, ok := o.p.destination.(*onChain); ok {
		a.State, a.ConfirmedAt, a.ChainID, a.Address = Pending, time.Time{}, c.set.ChainID, c.set.Registry
	}
	return a
}

// succeeded writes an anchor, its record, and that its destination is well. Done twice, it is
// as done once.
func (s *Service) succeeded(ctx context.Context, o outcome) error {
	now := s.opt.Now()
	next := now.Add(s.opt.Settings.Every)
	if o.answer.none {
		return s.opt.DB.Write(ctx, func(tx *db.Tx) error {
			tx.Exec(`UPDATE anchor_destinations SET busy_until = 0, tried_at = $1, next_at = $2 WHERE kind = $3 AND destination = $4`,
				now.UnixMicro(), next.UnixMicro(), o.p.kind(), o.p.name())
			return nil
		})
	}
	a := s.anchor(o)
	return s.opt.DB.Update(ctx, func(tx *db.Tx) error {
		fresh, err := insert(tx, a)
		if err != nil {
			return err
		}
		if c, ok := o.p.destination.(*onChain); ok {
			if err := c.want(tx, a, fresh); err != nil {
				return err
			}
			// That it is wanted is no success yet.
			tx.Exec(`UPDATE anchor_destinations SET busy_until = 0, tried_at = $1, next_at = $2 WHERE kind = $3 AND destination = $4`,
				now.UnixMicro(), next.UnixMicro(), a.Kind, a.Destination)
			if fresh {
				return s.record(tx, "anchor_wanted", a)
			}
			return nil
		}
		if fresh {
			if err := s.record(tx, "anchored", a); err != nil {
				return err
			}
			if err := s.emit(tx, EventConfirmed, a); err != nil {
				return err
			}
		}
		return s.well(tx, a, next)
	})
}

// well writes that a destination has confirmed an anchor.
func (s *Service) well(tx *db.Tx, a *Anchor, next time.Time) error {
	row, err := rowIn(tx, a.Kind, a.Destination)
	if err != nil {
		return err
	}
	tx.Exec(`UPDATE anchor_destinations SET state = 'OK', origin = $1, size = $2, attempts = 0, error = '', failing_since = 0, alert_id = '', tried_at = $3,
			next_at = $4, busy_until = 0 WHERE kind = $5 AND destination = $6`,
		a.Origin, a.Size, s.opt.Now().UnixMicro(), next.UnixMicro(), a.Kind, a.Destination)
	if row.alertID == "" || row.state == Diverged {
		return nil // what diverged is for people to close
	}
	if _, err := s.opt.Alerts.Close(tx, row.alertID, caos.SystemPrincipal().ID, "it takes anchors again"); err != nil {
		if k := caos.KindOf(err); k == caos.Conflict || k == caos.NotFound {
			return nil // somebody closed it
		}
		return err
	}
	return s.note(tx, "anchor_destination_well", a.Kind, a.Destination, "")
}

// record appends the audit record of an anchor.
func (s *Service) record(tx *db.Tx, what string, a *Anchor) error {
	details := map[string]any{"event": what, "anchor_id": a.AnchorID, "kind": a.Kind, "destination": a.Destination, "origin": a.Origin, "size": a.Size, "root": a.Root}
	for k, v := range map[string]string{"place": a.Place, "address": a.Address, "tx_hash": a.TxHash, "error": a.Error} {
		if v != "" {
			details[k] = v
		}
	}
	_, err := s.opt.Log.Append(tx, auditlog.Record{Type: auditlog.Evidence, Actor: caos.SystemPrincipal().ID, RecordedBy: a.AskedBy,
		Resources: []string{a.AnchorID}, Details: details, Classification: a.Classification})
	return err
}

// note appends the audit record of what became of a destination.
func (s *Service) note(tx *db.Tx, what, kind, destination, message string) error {
	details := map[string]any{"event": what, "kind": kind, "destination": destination}
	if message != "" {
		details["error"] = message
	}
	me := caos.SystemPrincipal().ID
	_, err := s.opt.Log.Append(tx, auditlog.Record{Type: auditlog.Alert, Actor: me, RecordedBy: me, Resources: []string{subjectOf(kind, destination)}, Details: details})
	return err
}

// subjectOf is a destination as a resource and as an alert's subject, in at most 200 bytes.
func subjectOf(kind, destination string) string { return clip("anchor:"+kind+":"+destination, 190) }

func (s *Service) emit(tx *db.Tx, kind string, a *Anchor) error {
	if s.opt.Events == nil {
		return nil
	}
	short := *a
	short.Checkpoint, short.Proof = "", nil
	return s.opt.Events.Emit(tx, event.Event{Type: kind, Subject: a.AnchorID, Time: s.opt.Now(), Project: a.Project, Classification: a.Classification, Data: short})
}

// patientTries is how often a chain is tried at short notice; each try is an execution, and may
// be a transaction that is paid for.
const patientTries = 5

// pause is how long a destination that failed so often in a row is left alone.
func (s *Service) pause(attempts int64) time.Duration {
	base := min(s.opt.Settings.Every, 10*time.Second)
	return min(base<<min(attempts-1, 12), max(base, 15*time.Minute))
}

// failed writes that a destination has failed, and alerts somebody: at once when it diverged,
// else when it has failed for long.
func (s *Service) failed(ctx context.Context, p *place, row destinationRow, failure error) error {
	now := s.opt.Now()
	var d *divergence
	state, since := Failing, row.failingSince
	if errors.As(failure, &d) {
		state = Diverged
	} else if row.state == Diverged {
		state = Diverged // that it cannot be asked now does not take back what it said
	}
	if since == 0 {
		since = now.UnixMicro()
	}
	pause := s.pause(row.attempts + 1)
	if d != nil || p.kind() == verify.AnchorChain && row.attempts >= patientTries {
		pause = max(pause, s.opt.Settings.Every) // asking again changes nothing until somebody has looked, and on a chain costs
	}
	message := clip(inWords(failure), 1000)
	s.opt.Logger.Warn("a destination does not take the checkpoint", slog.String("kind", p.kind()), slog.String("destination", p.name()), slog.String("error", message))
	write := func(tx *db.Tx, alertID string) {
		tx.Exec(`UPDATE anchor_destinations SET state = $1, attempts = attempts + 1, error = $2, failing_since = $3, alert_id = $4, tried_at = $5, next_at = $6,
				busy_until = 0 WHERE kind = $7 AND destination = $8`,
			string(state), message, since, alertID, now.UnixMicro(), now.Add(pause).UnixMicro(), p.kind(), p.name())
	}
	late := row.alertID == "" && (now.Sub(db.Moment(since)) >= s.opt.AlertAfter || caos.AsError(failure).Rule == ruleRefused)
	if turned := d != nil && row.state != Diverged; !turned && !late {
		return s.opt.DB.Write(ctx, func(tx *db.Tx) error { write(tx, row.alertID); return nil })
	}
	return s.opt.DB.Update(ctx, func(tx *db.Tx) error {
		id, err := s.opt.Alerts.Raise(tx, trouble(p, state, message))
		if err != nil {
			return err
		}
		write(tx, id)
		what := "anchor_destination_failing"
		if state == Diverged {
			what = "anchor_destination_diverged"
		}
		return s.note(tx, what, p.kind(), p.name(), message)
	})
}

// inWords is an error with what to do about it.
func inWords(err error) string {
	var d *divergence
	if errors.As(err, &d) {
		return d.what
	}
	e := caos.AsError(err)
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "; " + e.Hint
}

// trouble is the alert about a destination.
func trouble(p *place, state Standing, message string) alert.Alert {
	a := alert.Alert{Kind: "ANCHOR", AlertType: alert.Anomaly, Severity: alert.High, MetricName: "anchor", Source: "anchor", Subject: subjectOf(p.kind(), p.name()),
		AlertMessage:       fmt.Sprintf("the audit log cannot be anchored at the %s %s: %s", p.kind(), p.name(), message),
		RecommendedActions: []string{"read the error above", "caos audit anchors shows every destination", "caos audit anchor tries again at once"}}
	if state == Diverged {
		a.Severity, a.MetricName = alert.Critical, "anchor_divergence"
		a.AlertMessage = fmt.Sprintf("the %s %s holds what this audit log cannot have led to: %s. Either the log was cut or rewritten after it was anchored, or the destination lies, or another installation uses the same origin", p.kind(), p.name(), message)
		a.RecommendedActions = []string{"stop_deployments", "caos audit verify names the first difference", "compare with the other destinations: caos audit anchors",
			"restore the complete database from a backup, or have two people run caos recover, which opens a successor log"}
	}
	return a
}
