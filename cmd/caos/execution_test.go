package main

import (
	"testing"

	"caos/internal/engine"
)

// What waits for hours says so seldom, and at once when something else is wrong.
func TestRetriesAreToldSeldom(t *testing.T) {
	told := retries{}
	step := func(attempt int, why string) bool {
		s := engine.StepRecord{Step: "sign", Attempt: attempt, Status: engine.StepRetrying}
		if why != "" {
			s.Error = &why
		}
		return told.worth(s)
	}
	var at []int
	for attempt := 1; attempt <= 20; attempt++ {
		if step(attempt, "nobody answers (asked again in 1.1s)") {
			at = append(at, attempt)
		}
	}
	if want := []int{1, 2, 4, 8, 16}; len(at) != len(want) || at[4] != want[4] {
		t.Errorf("told at %v, want %v", at, want)
	}
	if step(21, "nobody answers (asked again in 1m30s)") || step(22, "nobody answers (asked again in 800ms)") {
		t.Error("a failure is told again because the pause after it is another")
	}
	if !step(23, "the password does not open the key file") {
		t.Error("another failure is not told")
	}
	if !step(24, "") || !told.worth(engine.StepRecord{Step: "sign", Attempt: 25, Status: engine.StepDone}) {
		t.Error("what is no failure is not told")
	}
}
