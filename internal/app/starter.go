package app

import (
	"context"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/hook"
	"caos/internal/trigger"
)

// starter is the hook service as triggers see it: two nouns that must not know each other.
type starter struct{ hooks *hook.Service }

// Known reports whether this binary has a hook.
func (s starter) Known(id string) bool { return s.hooks.Lookup(id) != nil }

// Submit submits a hook for a trigger like any other request.
func (s starter) Submit(ctx context.Context, sub trigger.Submission) (string, error) {
	x, err := s.hooks.Submit(ctx, hook.Request{Hook: sub.Hook, Body: sub.Input, ContentType: "application/json", IdemKey: sub.Key, By: sub.By})
	if err != nil {
		return "", err
	}
	return x.ID, nil
}

// ship makes the triggers known that come with CAOS, each once: the log remembers those that
// people have deleted since. A trigger that cannot be made keeps nobody from starting.
func (a *App) ship(ctx context.Context) error {
	for _, d := range trigger.Shipped() {
		page, err := a.log.List(ctx, auditlog.Filter{Resource: "trigger:" + d.Name, Limit: 1}, "")
		if err != nil {
			return err
		}
		if len(page.Records) > 0 {
			continue
		}
		if err := a.triggers.Ship(ctx, d); caos.KindOf(err) == caos.Invalid {
			a.logger.Warn("a trigger that comes with CAOS was not made", "trigger", d.Name, "error", err)
		} else if err != nil {
			return err
		}
	}
	return nil
}
