package app

import (
	"context"
	"errors"
	"fmt"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/auth"
)

// Approval is one person's way in, given to an operation that needs several people.
type Approval struct {
	Token string // API token
	MFA   string // value of a CAOS-MFA header: "totp 123456"
}

// Recover opens a successor for a log that is in recovery mode, or that contradicts what was
// anchored elsewhere, on behalf of two people
// who each show a token and a second factor, and writes the new trust file. The node must
// not be running.
func Recover(ctx context.Context, cfg Config, by [2]Approval, reason string) (receipt auditlog.Receipt, err error) {
	a := New(cfg, nil, "recover")
	a.url = cfg.address(cfg.Listen)
	if err := a.open(ctx); err != nil {
		return receipt, errors.Join(err, a.Stop(ctx))
	}
	defer func() { err = errors.Join(err, a.Stop(ctx)) }()
	var people []string
	for i, p := range by {
		who, err := a.auth.Authenticate(ctx, p.Token, p.MFA, []byte("log:recover "+reason))
		if err == nil {
			err = a.auth.Allow(who, "log:recover", auth.Resource{Type: "Log", ID: cfg.Origin})
		}
		if err != nil {
			e := caos.AsError(err)
			return receipt, e.WithField(fmt.Sprintf("approval[%d]", i))
		}
		people = append(people, who.ID)
	}
	if err := a.dispute(ctx); err != nil {
		return receipt, err
	}
	if receipt, err = a.log.Recover(ctx, people, reason); err != nil {
		return receipt, err
	}
	return receipt, errors.Join(a.anchors.Anew(ctx), a.writeTrust(ctx, cfg.path("trust.json")))
}

// dispute puts the log into recovery mode if destinations of anchors that DIVERGED still have
// what it cannot have led to.
func (a *App) dispute(ctx context.Context) error {
	if on, _ := a.log.Recovery(); on {
		return nil
	}
	d, err := a.anchors.Disputed(ctx)
	if err == nil && d != nil {
		a.log.Dispute(*d)
	}
	return err
}
