package faults

import (
	"testing"
	"time"

	"caos/internal/db"
)

// freezeCampaign is the campaign of freezes at its usual size.
func freezeCampaign(t *testing.T, name string, dialect db.Dialect, nodes, kills int) campaign {
	f := &freezes{versions: size(t, "CAOS_FAULT_FREEZES", 36), size: 4 << 20, kills: kills}
	return campaign{name: name, dialect: dialect, nodes: nodes, least: f.versions, harm: f.harm, special: f}
}

// TestFaultFreezeSQLite kills the one node while it freezes models.
func TestFaultFreezeSQLite(t *testing.T) {
	wanted(t, "1")
	freezeCampaign(t, "freezes, kill -9, SQLite", db.SQLite, 1, size(t, "CAOS_FAULT_FREEZE_KILLS_SQLITE", 60)).run(t, program(t)).must(t)
}

// TestFaultFreezePostgres kills nodes that share the folder of baselines.
func TestFaultFreezePostgres(t *testing.T) {
	wanted(t, "1")
	freezeCampaign(t, "freezes, kill -9, PostgreSQL, 2 nodes", db.PostgreSQL, 2, size(t, "CAOS_FAULT_FREEZE_KILLS_POSTGRES", 60)).run(t, program(t)).must(t)
}

// TestFaultFreezeStopPostgres lets nodes sleep over a freeze, so that each wakes up in the
// belief that it is still writing what another one has frozen since.
func TestFaultFreezeStopPostgres(t *testing.T) {
	wanted(t, "1")
	c := freezeCampaign(t, "freezes, SIGSTOP 9 s, PostgreSQL, 2 nodes", db.PostgreSQL, 2, size(t, "CAOS_FAULT_STOPS", 4))
	c.harm = c.special.(*freezes).sleep
	c.run(t, program(t)).must(t)
}

// TestSmokeFreeze runs the campaign for a moment, in ordinary test runs.
func TestSmokeFreeze(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	f := &freezes{versions: 6, size: 256 << 10, kills: 3}
	campaign{name: "smoke: freezes, kill -9, SQLite", dialect: db.SQLite, nodes: 1, least: f.versions, harm: f.harm, special: f, drain: 30 * time.Second}.run(t, program(t)).must(t)
}
