package registry

import "slices"

// State is where a version of a model stands.
type State string

// The states of a version. Stored: never rename one.
const (
	Registered      State = "REGISTERED"       // it may change
	Frozen          State = "FROZEN"           // it is a baseline
	ProductionReady State = "PRODUCTION_READY" // a readiness review approved it
	Released        State = "RELEASED"         // it was released to production
	Retired         State = "RETIRED"          // it is not to be used any more
)

// States lists the states in the order of a version's life.
func States() []State { return []State{Registered, Frozen, ProductionReady, Released, Retired} }

// transitions is the one table of what may follow what. A baseline never goes back.
func transitions(s State) []State {
	switch s {
	case Registered:
		return []State{Frozen, Retired}
	case Frozen:
		return []State{ProductionReady, Retired}
	case ProductionReady:
		return []State{Released, Retired}
	case Released:
		return []State{Retired}
	}
	return nil
}

// May reports whether a version in state s may go to another state next.
func (s State) May(to State) bool { return slices.Contains(transitions(s), to) }
