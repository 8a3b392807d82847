package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"caos/internal/app"
	"caos/internal/auth"
	"caos/internal/client"
	"caos/internal/engine"
)

// measurePipeline measures what a run of a pipeline costs beside its data: one on an empty
// table with a contract, from the submission over HTTPS to the end of the execution, with
// its report written.
func measurePipeline(ctx context.Context, b *bench) (_ []row, err error) {
	dir := filepath.Join(b.dir, "pipeline")
	sources, targets, data := filepath.Join(dir, "sources"), filepath.Join(dir, "targets"), filepath.Join(dir, "data")
	if err := errors.Join(os.MkdirAll(sources, 0o755), os.MkdirAll(targets, 0o755)); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(sources, "empty.csv"), []byte("id,value\n"), 0o644); err != nil {
		return nil, err
	}
	const engineer = "data-engineer"
	made, err := app.Init(ctx, app.InitOptions{DataDir: data, Listen: "127.0.0.1:0", Users: []auth.NewUser{{ID: engineer, Name: "Data engineer", Roles: []string{engineer}}},
		Config: func(c *app.Config) {
			c.FileRoots, c.TargetRoots, c.Worker = []string{sources}, []string{targets}, filepath.Join(b.bin, "caos-worker")
		}})
	if err != nil {
		return nil, err
	}
	n, err := b.serve(ctx, data)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	cl, err := client.New(client.Config{URL: n.url, Token: made.Users[engineer].Token, CAFile: made.CAFile})
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	for _, it := range [][2]string{ // the contract first
		{"/v1/contracts", "apiVersion: v3.1.0\nkind: DataContract\nid: 95-00-09-02-021\nversion: 1.0.0\nstatus: active\nschema:\n  - name: out\n    logicalType: object\n" +
			"    properties: [{name: id, required: true}, {name: value}]\n    quality: [{id: rows, metric: rowCount, mustBeGreaterOrEqualTo: 0}]\n"},
		{"/v1/pipelines", fmt.Sprintf("pipeline_id: DP-BENCH-001\npipeline_version: '1.0'\ntitle: An empty table\nsources:\n  - name: rows_in\n    uri: file://%s/empty.csv\n"+
			"    columns: [{name: id, type: BIGINT}, {name: value, type: DOUBLE}]\ntransforms:\n  - {name: doubled, sql: 'SELECT id, 2 * value AS value FROM rows_in'}\n"+
			"targets:\n  - {name: out, uri: 'file://%s/out.parquet', from: doubled, format: parquet, contract: 95-00-09-02-021}\n", sources, targets)},
	} {
		if _, err := cl.Do(ctx, client.Call{Method: http.MethodPost, Path: it[0], Body: []byte(it[1]), Header: http.Header{"Content-Type": {"application/yaml"}}}); err != nil {
			return nil, err
		}
	}
	count := 10
	if b.short {
		count = 3
	}
	var took []float64
	for range count * b.reps {
		begun := time.Now()
		if err := emptyRun(ctx, cl); err != nil {
			return nil, err
		}
		took = append(took, float64(time.Since(begun).Milliseconds()))
	}
	return []row{rated("a pipeline on an empty table", "ms", took).atMost(300).
		with("%d in a row: probe, worker in its sandbox twice (ETL, checks), publication, lineage, report; over HTTPS, on SQLite", len(took))}, nil
}

// emptyRun submits the pipeline and waits for its end.
func emptyRun(ctx context.Context, cl *client.Client) error {
	a, err := cl.Do(ctx, client.Call{Method: http.MethodPost, Path: "/v1/hooks/CAOS.PROD.DATA.PIPELINE/executions", Header: http.Header{"Prefer": {"wait=30"}},
		JSON: json.RawMessage(`{"pipeline_id":"DP-BENCH-001","pipeline_version":"1.0","execution_mode":"ON_DEMAND","data_sources":[],"target_datasets":[]}`)})
	if err != nil {
		return err
	}
	var x engine.Execution
	if err := a.Decode(&x); err != nil {
		return err
	}
	if x.Status != engine.Succeeded {
		return fmt.Errorf("%s ended %s: %v", x.ID, x.Status, x.Findings)
	}
	return nil
}
