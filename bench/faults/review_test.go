package faults

import (
	"context"
	"testing"
	"time"

	"caos/internal/db"
)

// reviewCampaign is the campaign of reviews at its usual size.
func reviewCampaign(t *testing.T, name string, dialect db.Dialect, nodes, kills int) (*reviews, campaign) {
	f := &reviews{versions: size(t, "CAOS_FAULT_REVIEWS", 96), kills: kills}
	return f, campaign{name: name, dialect: dialect, nodes: nodes, least: f.versions, harm: f.harm, special: f}
}

// TestFaultReviewSQLite kills the one node while boards review.
func TestFaultReviewSQLite(t *testing.T) {
	wanted(t, "1")
	_, c := reviewCampaign(t, "reviews, kill -9, SQLite", db.SQLite, 1, size(t, "CAOS_FAULT_REVIEW_KILLS_SQLITE", 100))
	c.run(t, program(t)).must(t)
}

// TestFaultReviewPostgres kills two nodes while boards review.
func TestFaultReviewPostgres(t *testing.T) {
	wanted(t, "1")
	_, c := reviewCampaign(t, "reviews, kill -9, PostgreSQL, 2 nodes", db.PostgreSQL, 2, size(t, "CAOS_FAULT_REVIEW_KILLS_POSTGRES", 40))
	c.run(t, program(t)).must(t)
}

// TestFaultReviewStopPostgres lets nodes sleep over a review, so that each wakes up in the
// belief that it still has the report to register or the vote to count.
func TestFaultReviewStopPostgres(t *testing.T) {
	wanted(t, "1")
	f, c := reviewCampaign(t, "reviews, SIGSTOP 9 s, PostgreSQL, 2 nodes", db.PostgreSQL, 2, size(t, "CAOS_FAULT_STOPS", 4))
	c.harm = f.sleep
	c.run(t, program(t)).must(t)
}

// TestFaultReviewDoubt loses the answer to one of ten commits: votes that count are cast
// again.
func TestFaultReviewDoubt(t *testing.T) {
	wanted(t, "1")
	lossy := func(name string, dialect db.Dialect, nodes int) {
		f, c := reviewCampaign(t, name, dialect, nodes, 1)
		c.doubt = .1
		c.harm = func(context.Context, *cluster) error { f.give(f.versions); return nil }
		c.run(t, program(t)).must(t)
	}
	lossy("reviews, lost answers, SQLite", db.SQLite, 1)
	lossy("reviews, lost answers, PostgreSQL, 2 nodes", db.PostgreSQL, 2)
}

// TestSmokeReview runs the campaign for a moment, in ordinary test runs.
func TestSmokeReview(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	f := &reviews{versions: 8, kills: 3}
	campaign{name: "smoke: reviews, kill -9, SQLite", dialect: db.SQLite, nodes: 1, least: f.versions, harm: f.harm, special: f, drain: 30 * time.Second}.run(t, program(t)).must(t)
}
