package piping

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"caos/internal/auth"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/trigger"
)

// Pipeline is a pipeline by its number, from 0.
//
// Each reads main.csv, and side.csv where that is, and publishes a file, a folder with a
// file for each day, and notes, which can be done without. Every row carries the generation
// of the source that it came from, so that a mixture is seen.
type Pipeline int

// ID is the pipeline's.
func (p Pipeline) ID() string { return fmt.Sprintf("DP-FLT-%03d", int(p)+1) }

// Dataset is the id of a target's.
func (p Pipeline) Dataset(target string) string { return p.ID() + "." + target }

// Source is the path of one of its sources.
func (p Pipeline) Source(dir, name string) string {
	return filepath.Join(dir, Sources, strconv.Itoa(int(p)), name)
}

// Target is the path of a target.
func (p Pipeline) Target(dir, name string) string {
	at := filepath.Join(dir, Targets, strconv.Itoa(int(p)), name)
	if name != "days" {
		at += ".csv"
	}
	return at
}

// TargetNames are the targets; the last one is optional.
var TargetNames = []string{"train", "days", "notes"}

const contractID = "95-00-09-02-004"

// The checks are stated of the tables as a reader finds them.
const contractText = `apiVersion: v3.1.0
kind: DataContract
id: ` + contractID + `
version: 1.0.0
status: active
name: Flights
schema:
  - name: train
    properties:
      - {name: generation, logicalType: integer, required: true}
      - {name: carrier, logicalType: string, required: true}
    quality:
      - {id: rows, type: library, metric: rowCount, mustBeGreaterThan: 0}
  - name: days
    properties:
      - {name: generation, logicalType: integer, required: true}
      - {name: carrier, logicalType: string, required: true}
    quality:
      - {id: rows, type: library, metric: rowCount, mustBeGreaterThan: 0}
`

func (p Pipeline) definition(dir string) string {
	return fmt.Sprintf(`pipeline_id: %s
pipeline_version: "1.0"
title: Flights
owner: dana
project: P1
sources:
  - name: main_rows
    uri: file://%s
    format: csv
    columns: [{name: generation, type: BIGINT}, {name: carrier, type: VARCHAR}, {name: distance, type: INTEGER}, {name: day, type: VARCHAR}]
  - name: side
    uri: file://%s
    format: csv
    optional: true
    columns: [{name: generation, type: BIGINT}, {name: note, type: VARCHAR}]
transforms:
  - {name: enriched, materialise: true, sql: "SELECT generation, carrier, distance, day FROM main_rows"}
  - {name: noted, sql: "SELECT generation, note FROM side"}
targets:
  - {name: train, from: enriched, uri: "file://%s", format: csv, contract: %s}
  - {name: days, from: enriched, uri: "file://%s/", format: csv, partition_by: [day], contract: %s}
  - {name: notes, from: noted, uri: "file://%s", format: csv, optional: true}
compute: {memory: 256 MiB, threads: 1, scratch: 64 MiB, timeout: 300s}
`, p.ID(), p.Source(dir, "main.csv"), p.Source(dir, "side.csv"), p.Target(dir, "train"), contractID, p.Target(dir, "days"), contractID, p.Target(dir, "notes"))
}

// Rows is how many a generation has, so that a part of one is seen.
func Rows(generation int) int { return 300 + generation%97 }

// Kind is what a source is like.
type Kind int

// The kinds of sources.
const (
	Good     Kind = iota
	Poisoned      // a carrier is missing, which the contract forbids
	Ragged        // a row is cut short
	Missing       // there is none
)

// Write puts a generation of the main source in place, whole.
func (p Pipeline) Write(dir string, generation int, kind Kind) error {
	at := p.Source(dir, "main.csv")
	if kind == Missing {
		return ignoring(os.Remove(at))
	}
	var b bytes.Buffer
	b.WriteString("generation,carrier,distance,day\n")
	for i := range Rows(generation) {
		carrier := string(rune('A'+i%26)) + "X"
		if kind == Poisoned && i == 17 {
			carrier = ""
		}
		if kind == Ragged && i == 42 {
			fmt.Fprintf(&b, "%d,%s,never,\n", generation, carrier)
			continue
		}
		fmt.Fprintf(&b, "%d,%s,%d,d%d\n", generation, carrier, i*7, i%3)
	}
	return put(at, b.Bytes())
}

// WriteSide puts a generation of the other source in place, or takes it away.
func (p Pipeline) WriteSide(dir string, generation int, there bool) error {
	at := p.Source(dir, "side.csv")
	if !there {
		return ignoring(os.Remove(at))
	}
	return put(at, fmt.Appendf(nil, "generation,note\n%d,seen\n%d,heard\n", generation, generation))
}

func put(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func ignoring(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Generation reads a published table of rows: the generation of all of them. Errors say
// what no run may publish.
func Generation(text []byte) (generation, rows int, err error) {
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for i, line := range lines[1:] {
		f := strings.Split(line, ",")
		g, err := strconv.Atoi(f[0])
		if err != nil || len(f) < 3 {
			return 0, 0, fmt.Errorf("row %d is %q", i, line)
		}
		if i > 0 && g != generation {
			return 0, 0, fmt.Errorf("row %d is of the generation %d, and those before it of %d", i, g, generation)
		}
		if strings.Trim(f[1], `"`) == "" {
			return 0, 0, fmt.Errorf("row %d has no carrier", i)
		}
		generation = g
	}
	return generation, len(lines) - 1, nil
}

// Prepare registers accounts, contract, pipelines and the trigger, before any node runs.
func (d *Desk) Prepare(ctx context.Context, pipelines int) error {
	if _, err := d.Auth.Bootstrap(ctx, []auth.NewUser{{ID: "root", Name: "Root"}, {ID: "dana", Name: "Dana", Roles: []string{"data-engineer"}},
		{ID: "mo", Name: "Mo", Roles: []string{"mlops-engineer"}}, {ID: "bot", Name: "Bot", Kind: auth.Service, Roles: []string{"service"}}}); err != nil {
		return err
	}
	if err := d.Auth.Start(ctx); err != nil {
		return err
	}
	by := dataset.By{Actor: "dana"}
	rules, err := dataset.ReadContract([]byte(contractText))
	if err != nil {
		return err
	}
	if err := d.DB.Update(ctx, func(tx *db.Tx) error { _, err := d.Datasets.RegisterContract(tx, rules, by); return err }); err != nil {
		return err
	}
	for i := range pipelines {
		p := Pipeline(i)
		text := []byte(p.definition(d.Dir))
		def, err := dataset.ParseDefinition(text, "")
		if err != nil {
			return err
		}
		if err := d.DB.Update(ctx, func(tx *db.Tx) error { _, err := d.Datasets.Register(tx, def, text, by); return err }); err != nil {
			return err
		}
		if err := p.WriteSide(d.Dir, 0, true); err != nil {
			return err
		}
	}
	for _, t := range trigger.Shipped() {
		if t.Name != "pipeline-validation" {
			continue
		}
		mo := Engineer()
		mo.ID, mo.Roles = "mo", []string{"mlops-engineer"}
		t.RunsAs, t.Enabled = "bot", true
		if _, _, err := d.Triggers.Create(ctx, mo, t); err != nil {
			return err
		}
	}
	return nil
}
