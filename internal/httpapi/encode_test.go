package httpapi

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"caos"
	"caos/internal/engine"
)

// TestEncoder holds the fast encoder equal to encoding/json.
func TestEncoder(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "plain", `"quo\te"`, "<&>", "line\nbreak", "\u2028", "é", "\xff"}))
	optional := rapid.Ptr(text, true)
	raw := rapid.SampledFrom([]json.RawMessage{nil, json.RawMessage("null"), json.RawMessage(`{"a":[1,2.5,"x"]}`), json.RawMessage(`{}`)})
	rapid.Check(t, func(r *rapid.T) {
		x := engine.Execution{
			ID: text.Draw(r, "id"), HookID: text.Draw(r, "hook"), HookVersion: "1.0.0", Revision: rapid.Int().Draw(r, "revision"),
			Status: engine.Status(text.Draw(r, "status")), Input: raw.Draw(r, "input"), Output: raw.Draw(r, "output"),
			RequestedBy: text.Draw(r, "by"), CreatedAt: text.Draw(r, "at"), FinishedAt: optional.Draw(r, "finished"),
		}
		if rapid.Bool().Draw(r, "failed") {
			x.Error = caos.Errorf(caos.Conflict, "%s", text.Draw(r, "message")).WithField("f")
		}
		if rapid.Bool().Draw(r, "findings") {
			x.Findings = []caos.Finding{}
			for range rapid.IntRange(0, 2).Draw(r, "n") {
				x.Findings = append(x.Findings, caos.Finding{Rule: text.Draw(r, "rule"), Message: "m"})
			}
		}
		if rapid.Bool().Draw(r, "children") {
			x.Children = rapid.SliceOfN(text, 0, 3).Draw(r, "kids")
		}
		for range rapid.IntRange(0, 3).Draw(r, "steps") {
			x.Steps = append(x.Steps, engine.StepRecord{Number: 1, Action: text.Draw(r, "action"), Step: "s", Kind: "call", Item: text.Draw(r, "item"),
				Round: rapid.IntRange(0, 2).Draw(r, "round"), Status: engine.StepDone, Attempt: 1, StartedAt: "t", FinishedAt: optional.Draw(r, "end"),
				Error: optional.Draw(r, "error"), AuditRecordID: text.Draw(r, "record")})
		}
		want, err := json.Marshal(x)
		if err != nil {
			r.Fatal(err)
		}
		if got := appendExecution(nil, &x); string(got) != string(want) {
			r.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}
