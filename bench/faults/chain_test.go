package faults

import (
	"context"
	"testing"
	"time"

	"caos/internal/db"
)

// TestFaultChainSQLite kills the one node while it records productions on a chain.
func TestFaultChainSQLite(t *testing.T) {
	wanted(t, "1")
	f := newSends(t, size(t, "CAOS_FAULT_PRODUCTIONS", 1000), size(t, "CAOS_FAULT_CHAIN_KILLS_SQLITE", 100))
	v := campaign{name: "chain, kill -9, SQLite", dialect: db.SQLite, nodes: 1, least: f.count, harm: f.kill, special: f}.run(t, program(t))
	v.must(t)
	if v.Kills < f.kills {
		t.Errorf("%d kills of %d", v.Kills, f.kills)
	}
}

// TestFaultChainPostgres kills nodes that take turns with the account.
func TestFaultChainPostgres(t *testing.T) {
	wanted(t, "1")
	f := newSends(t, size(t, "CAOS_FAULT_PRODUCTIONS", 1000), size(t, "CAOS_FAULT_CHAIN_KILLS_POSTGRES", 40))
	campaign{name: "chain, kill -9, PostgreSQL, 2 nodes", dialect: db.PostgreSQL, nodes: 2, least: f.count, harm: f.kill, special: f}.run(t, program(t)).must(t)
}

// TestFaultChainStopPostgres lets nodes sleep until others have taken the account, so that
// each wakes up in the belief that it is still its own.
func TestFaultChainStopPostgres(t *testing.T) {
	wanted(t, "1")
	f := newSends(t, 200, 0)
	campaign{name: "chain, SIGSTOP 9 s, PostgreSQL, 2 nodes", dialect: db.PostgreSQL, nodes: 2, least: f.count, harm: f.sleep(size(t, "CAOS_FAULT_STOPS", 4)), special: f}.run(t, program(t)).must(t)
}

// TestFaultChainMisled loses answers of the network's and of commits, reorganises the chain
// and takes it away.
func TestFaultChainMisled(t *testing.T) {
	wanted(t, "1")
	f := newSends(t, 400, 0)
	campaign{name: "chain, lost answers, reorganisations, network away, SQLite", dialect: db.SQLite, nodes: 1, least: f.count, doubt: .1, harm: f.mislead(16), special: f}.run(t, program(t)).must(t)
	f = newSends(t, 400, 0)
	campaign{name: "chain, lost answers, reorganisations, network away, PostgreSQL, 2 nodes", dialect: db.PostgreSQL, nodes: 2, least: f.count, doubt: .1, harm: f.mislead(16), special: f}.run(t, program(t)).must(t)
}

// TestSmokeChain runs each kind of harm for a moment, in ordinary test runs. The short form is
// a dozen productions, a kill and a reorganisation: it shows that the campaign still runs.
func TestSmokeChain(t *testing.T) {
	if testing.Short() {
		f := newSends(t, 12, 1)
		harm := func(ctx context.Context, c *cluster) error {
			err := f.kill(ctx, c)
			f.reorg()
			return err
		}
		campaign{name: "smoke: chain, kill -9, reorganisation, SQLite", dialect: db.SQLite, nodes: 1, least: f.count, harm: harm, special: f, drain: time.Minute}.run(t, program(t)).must(t)
		return
	}
	f := newSends(t, 40, 3)
	campaign{name: "smoke: chain, kill -9, SQLite", dialect: db.SQLite, nodes: 1, least: f.count, harm: f.kill, special: f, drain: time.Minute}.run(t, program(t)).must(t)
	f = newSends(t, 40, 0)
	campaign{name: "smoke: chain, misled, SQLite", dialect: db.SQLite, nodes: 1, least: f.count, harm: f.mislead(4), special: f, drain: time.Minute}.run(t, program(t)).must(t)
}
