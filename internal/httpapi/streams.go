package httpapi

import (
	"sync"

	"caos"
)

// An open event stream costs a query a second, so there are only so many.
const (
	maxStreams    = 512 // on a node
	maxStreamsFor = 32  // for one account
)

// streams counts open event streams.
type streams struct {
	mu  sync.Mutex
	all int            // guarded by mu
	by  map[string]int // account → open streams; guarded by mu
}

// open counts a stream in, or refuses it. Whoever is let in calls the function that is
// returned when the stream ends.
func (s *streams) open(account string) (done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxStreams || s.by[account] >= maxStreamsFor {
		return nil, caos.Errorf(caos.Limited, "too many event streams are open").WithHint("close some, or ask for the execution itself now and then")
	}
	if s.by == nil {
		s.by = map[string]int{}
	}
	s.all++
	s.by[account]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.by[account]--; s.by[account] == 0 {
			delete(s.by, account)
		}
	}, nil
}
