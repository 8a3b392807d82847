package event

import (
	"math/rand/v2"
	"time"

	"caos"
)

// Retry says how often a delivery is tried and how long the pauses are.
type Retry struct {
	Attempts int           // attempts before an event is parked
	First    time.Duration // pause after the first failure
	Max      time.Duration // longest pause
	Factor   float64       // each pause is this many times the one before
}

// DefaultRetry tries 12 times over about half an hour.
func DefaultRetry() Retry {
	return Retry{Attempts: 12, First: time.Second, Max: 5 * time.Minute, Factor: 2}
}

// pause is how long to wait after the given number of failed attempts. spread, from 0 to 1,
// moves it by up to a fifth either way, so that what failed together does not come back
// together.
func (r Retry) pause(attempts int, spread float64) time.Duration {
	d := float64(r.First)
	for range attempts - 1 {
		if d *= max(r.Factor, 1); d >= float64(r.Max) {
			break
		}
	}
	d = min(d, float64(r.Max))
	return time.Duration(d * (0.8 + 0.4*spread))
}

// verdict says whether a failure is tried again.
func (r Retry) verdict(attempts int, err error) (again bool, pause time.Duration) {
	kind := caos.KindOf(err)
	if attempts >= r.Attempts || !kind.Retryable() && kind != caos.Limited {
		return false, 0
	}
	return true, r.pause(attempts, rand.Float64())
}
