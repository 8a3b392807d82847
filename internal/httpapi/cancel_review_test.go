package httpapi

import "testing"

// TestReviewCancelled: who asked for a review may end it until somebody has voted. After
// that they would choose among boards by what they hear.
func TestReviewCancelled(t *testing.T) {
	w := newWorld(t)
	w.freeze("P2")
	path, execution := w.review("APPROVED")
	bea, _ := w.enrol("bea", "cora")
	vote := map[string]any{"outcome": "APPROVED"}
	w.do("bea", "POST", path+"/votes", w.signed("bea", path+"/votes", vote, bea)).wants(t, 200)
	w.denies("PRR-NN-DLY-001-1.0.0", w.votes("PRR-NN-DLY-001-1.0.0"), map[string]denied{
		"who asked for it": {"rel", "/v1/executions/" + execution + "/cancel", map[string]any{"reason": "another board"}, nil, 403, "separation-of-duties"},
	})
	w.do("root", "POST", "/v1/executions/"+execution+"/cancel", map[string]any{"reason": "asked to"}).wants(t, 200)
}
