package hook

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/worker"
)

// The stored state names the digests of both: they stay as they are.
const (
	goldenFlights = "id,delay,carrier,pilot\n1,5,AA,Ann\n2,3,UA,Bob\n"
	goldenRules   = `
apiVersion: v3.1.0
kind: DataContract
id: 95-00-09-02-004
version: 1.0.0
status: active
schema:
  - name: train
    properties:
      - {name: id, logicalType: integer, primaryKey: true, required: true}
      - {name: delay, logicalType: integer, quality: [{id: delay-there, metric: nullValues, mustBe: 0, dimension: completeness}]}
`
)

// A validation that a released revision left while its checks ran, which may take an hour, is
// gone on with by this binary: the state and the position that it stored are put in the place
// of what this one stored. The file is never changed; a new revision adds its own (-update
// writes one that is not there).
func TestDataValidateGoldenState(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t, db.SQLite)
	w := newWorld(t, openAt(t, url))
	w.file("carriers.csv", "code\nAA\nUA\n")
	w.registerData(w.flightsPipeline(dlyRules), goldenRules)
	input := w.published(goldenFlights)
	running := make(chan struct{})
	w.worker.meanwhile(func(string, worker.Job) { close(running) })
	w.worker.hangs()
	body, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	x, err := w.Submit(context.Background(), Request{Hook: validateHook, Body: body, ContentType: "application/json", By: w.as("dana")})
	if err != nil {
		t.Fatal(err)
	}
	<-running
	w.transplant(x.ID, filepath.Join("testdata", "states", "data_validate-r1-run-checks.json"))
	w = w.restart(url, 0)
	x, err = w.engine.Await(context.Background(), x.ID, patience)
	if err != nil || x.Status != engine.Succeeded {
		t.Fatalf("%v %+v", err, x)
	}
	var out ValidateOutput
	if err := json.Unmarshal(x.Output, &out); err != nil || out.OverallStatus == nil || *out.OverallStatus != dataset.ValidationPass {
		t.Errorf("%s %v", x.Output, err)
	}
	w.noScratch()
}
