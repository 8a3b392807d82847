package httpapi

import (
	"context"
	"sync"
	"time"

	"caos/internal/hook"
)

// statusFor is how long the registered statuses of hooks are believed. A warning that
// comes some seconds late does no harm; a query for each submission would.
const statusFor = 5 * time.Second

// statuses remembers which hooks are deprecated.
type statuses struct {
	mu         sync.Mutex
	asked      time.Time       // guarded by mu
	deprecated map[string]bool // guarded by mu; replaced, never changed
}

// isDeprecated reports whether a hook is registered as DEPRECATED.
func (a *API) isDeprecated(ctx context.Context, id string) bool {
	s := &a.statuses
	now := a.now()
	s.mu.Lock()
	known := s.deprecated
	due := known == nil || now.Sub(s.asked) > statusFor || now.Before(s.asked)
	if due {
		s.asked = now // the others go on with what is known
	}
	s.mu.Unlock()
	if !due {
		return known[id]
	}
	list, err := a.Hooks.List(ctx)
	if err != nil {
		return known[id]
	}
	fresh := map[string]bool{}
	for _, r := range list {
		if r.HookStatus == hook.Deprecated {
			fresh[r.HookID] = true
		}
	}
	s.mu.Lock()
	s.deprecated = fresh
	s.mu.Unlock()
	return fresh[id]
}

// forget makes the next submission ask again.
func (s *statuses) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deprecated = nil
}
