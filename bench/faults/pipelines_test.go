package faults

import (
	"context"
	"testing"

	"caos/internal/db"
	"caos/internal/worker/workertest"
)

// pipeCampaign is the campaign of pipelines at its usual size.
func pipeCampaign(t *testing.T, name string, dialect db.Dialect, nodes, kills int) (*pipes, campaign) {
	f := &pipes{pipelines: size(t, "CAOS_FAULT_PIPELINES", 4), rounds: size(t, "CAOS_FAULT_PIPE_ROUNDS", 10), kills: kills, worker: workertest.TestProgram(t)}
	return f, campaign{name: name, dialect: dialect, nodes: nodes, least: f.all(), harm: f.harm, special: f}
}

// TestFaultPipelineSQLite kills the one node while it runs pipelines.
func TestFaultPipelineSQLite(t *testing.T) {
	wanted(t, "1")
	_, c := pipeCampaign(t, "pipelines, kill -9, SQLite", db.SQLite, 1, size(t, "CAOS_FAULT_PIPE_KILLS_SQLITE", 40))
	c.run(t, program(t)).must(t)
}

// TestFaultPipelinePostgres kills nodes that share the targets.
func TestFaultPipelinePostgres(t *testing.T) {
	wanted(t, "1")
	_, c := pipeCampaign(t, "pipelines, kill -9, PostgreSQL, 2 nodes", db.PostgreSQL, 2, size(t, "CAOS_FAULT_PIPE_KILLS_POSTGRES", 24))
	c.run(t, program(t)).must(t)
}

// TestFaultPipelineStopPostgres lets nodes sleep over a run, so that each wakes up in the
// belief that it still has the targets to commit. They share one scratch folder: the one that
// sleeps finds the files of the other where it had its own.
func TestFaultPipelineStopPostgres(t *testing.T) {
	wanted(t, "1")
	f, c := pipeCampaign(t, "pipelines, SIGSTOP 9 s, PostgreSQL, 2 nodes", db.PostgreSQL, 2, size(t, "CAOS_FAULT_STOPS", 4))
	c.harm, f.share = f.sleep, true
	c.run(t, program(t)).must(t)
}

// TestFaultPipelineDoubt loses the answer to one of ten commits.
func TestFaultPipelineDoubt(t *testing.T) {
	wanted(t, "1")
	lossy := func(name string, dialect db.Dialect, nodes int) {
		f, c := pipeCampaign(t, name, dialect, nodes, 1)
		c.doubt, f.rounds, c.least = .1, 4, f.pipelines*4
		c.harm = func(context.Context, *cluster) error { f.give(f.all()); return nil }
		c.run(t, program(t)).must(t)
	}
	lossy("pipelines, lost answers, SQLite", db.SQLite, 1)
	lossy("pipelines, lost answers, PostgreSQL, 2 nodes", db.PostgreSQL, 2)
}

// TestSmokePipeline runs the campaign for a moment, in ordinary test runs.
func TestSmokePipeline(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	f := &pipes{pipelines: 2, rounds: 3, kills: 3, worker: workertest.TestProgram(t)}
	campaign{name: "smoke: pipelines, kill -9, SQLite", dialect: db.SQLite, nodes: 1, least: f.all(), harm: f.harm, special: f}.run(t, program(t)).must(t)
}
