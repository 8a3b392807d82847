package app

import (
	"context"

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
