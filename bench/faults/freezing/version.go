package freezing

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"

	"caos/internal/db"
	"caos/internal/object"
	"caos/internal/registry"
)

// Version is a version of a model by its number, from 0: a model has three.
type Version int

const perModel = 3

// Model is the model's id.
func (v Version) Model() string { return fmt.Sprintf("NN-FLT-%03d", int(v)/perModel+1) }

// Number is the version's own.
func (v Version) Number() string { return []string{"1.0.0", "1.1.0", "2.0.0"}[int(v)%perModel] }

// Baseline is the id of its baseline.
func (v Version) Baseline() string { return registry.BaselineID(v.Model(), v.Number()) }

// The documents of a version, and the versions of its list of defects.
const (
	vvPlan     = "00"
	vvReport   = "01"
	safety     = "02"
	defectList = "03"
	review     = "04"

	ListAtFirst  = "1.0" // nothing is wrong
	ListDefect   = "2.0" // a defect is open
	ListMended   = "3.0" // it was closed
	defectsOwner = "vera"
)

func (v Version) document(kind string) string { return fmt.Sprintf("95-00-07-%s-%03d", kind, int(v)) }

// DefectList is the id of the version's list of defects.
func (v Version) DefectList() string { return v.document(defectList) }

// Register registers a version that nothing stands against, with two files of altogether
// size bytes.
func (d *Desk) Register(ctx context.Context, v Version, size int) error {
	err := d.DB.Update(ctx, func(tx *db.Tx) error {
		if int(v)%perModel == 0 {
			m := registry.Model{ModelID: v.Model(), Name: "Flight " + v.Model(), Family: "MLP", SafetyLevel: "DAL-D", Owner: "olga"}
			if _, err := d.Registry.CreateModel(tx, m, by("conny")); err != nil {
				return err
			}
		}
		_, err := d.Registry.CreateVersion(tx, registry.Version{ModelID: v.Model(), Version: v.Number(), Framework: "numpy"}, by("mlo"))
		return err
	})
	if err != nil {
		return err
	}
	for i, name := range []string{"model.safetensors", "weights/large.safetensors"} {
		if err := d.attach(ctx, v, name, []string{"inference", "weights"}[i], size*(1+2*i)/4); err != nil {
			return err
		}
	}
	return d.documents(ctx, v)
}

func by(who string) registry.By { return registry.By{Actor: who, RecordedBy: who} }

func (d *Desk) put(ctx context.Context, r io.Reader) (string, error) {
	ref, err := d.Objects.Put(ctx, r, object.PutOptions{})
	return ref.Digest, err
}

// attach adds a file of n bytes of noise, which holds data and no code.
func (d *Desk) attach(ctx context.Context, v Version, name, role string, n int) (err error) {
	n -= n % 4
	head := fmt.Appendf(nil, `{"w":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}}`, n/4, n)
	noise := rand.NewChaCha8([32]byte{byte(v), byte(len(role))})
	file := io.MultiReader(bytes.NewReader(binary.LittleEndian.AppendUint64(nil, uint64(len(head)))), bytes.NewReader(head), io.LimitReader(noise, int64(n)))
	a := registry.Artifact{Name: name, Role: role}
	if a.Digest, err = d.put(ctx, file); err != nil {
		return err
	}
	if a.Size, a.Scan, err = d.Registry.Inspect(ctx, a.Digest, name); err != nil {
		return err
	}
	a.Format = string(a.Scan.Format)
	return d.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := d.Registry.Attach(tx, v.Model(), v.Number(), a, by("mlo"))
		return err
	})
}

// register registers a document about a version; content is written as JSON.
func (d *Desk) register(ctx context.Context, v Version, doc registry.Document, content any, who string) error {
	raw, err := json.Marshal(content)
	if err != nil {
		return err
	}
	if doc.Digest, err = d.put(ctx, bytes.NewReader(raw)); err != nil {
		return err
	}
	parsed, err := d.Registry.ReadDocument(ctx, doc.Kind, doc.Digest)
	if err != nil {
		return err
	}
	doc.ModelID, doc.ModelVersion, doc.MediaType, doc.Title = v.Model(), v.Number(), "application/json", "A "+doc.Kind
	return d.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := d.Registry.RegisterDocument(tx, doc, parsed, by(who))
		return err
	})
}

// Defects registers a version of the list of defects. Registering it again changes nothing.
func (d *Desk) Defects(ctx context.Context, v Version, list string) error {
	defects := []any{}
	if list != ListAtFirst {
		status := map[string]string{ListDefect: "OPEN", ListMended: "CLOSED"}[list]
		defects = append(defects, map[string]any{"defect_id": "DEF-1", "title": "It drifts", "severity": "HIGH", "status": status, "resolution": "trained again"})
	}
	return d.register(ctx, v, registry.Document{DocumentID: v.DefectList(), Version: list, Kind: registry.KindDefectList},
		map[string]any{"model_id": v.Model(), "model_version": v.Number(), "defects": defects}, defectsOwner)
}

// documents registers what a freeze needs, and approves it.
func (d *Desk) documents(ctx context.Context, v Version) error {
	artifacts, err := d.Registry.Artifacts(ctx, v.Model(), v.Number())
	if err != nil {
		return err
	}
	tested := []any{}
	for _, a := range artifacts {
		tested = append(tested, map[string]any{"name": a.Name, "digest": a.Digest})
	}
	first := func(kind, of string) registry.Document {
		return registry.Document{DocumentID: v.document(of), Version: "1.0", Kind: kind}
	}
	wanted := []any{map[string]any{"requirement_id": "REQ-FLT-1"}}
	for _, one := range []struct {
		doc     registry.Document
		content any
		who     string
	}{
		{first(registry.KindVVPlan, vvPlan), map[string]any{"document_id": v.document(vvPlan), "model_id": v.Model(), "requirements": wanted}, "vera"},
		{first(registry.KindVVReport, vvReport), map[string]any{"document_id": v.document(vvReport), "model_id": v.Model(), "model_version": v.Number(),
			"status": "PASSED", "performed_on": "2026-11-20", "artifacts": tested, "tests": []any{
				map[string]any{"test_id": "T-1", "title": "Error", "requirement_ids": []string{"REQ-FLT-1"}, "result": "PASSED"}}}, "vera"},
		{first(registry.KindSafetyAssessment, safety), "The model decides nothing.", "mlo"},
		{first(registry.KindDocumentationReview, review), "Read, complete.", "mlo"},
	} {
		if err := d.register(ctx, v, one.doc, one.content, one.who); err != nil {
			return err
		}
	}
	if err := d.Defects(ctx, v, ListAtFirst); err != nil {
		return err
	}
	return d.DB.Update(ctx, func(tx *db.Tx) error {
		for _, of := range []string{safety, review} {
			q := registry.Decision{DocumentID: v.document(of), Version: "1.0", Approve: true, Statement: "read"}
			if _, err := d.Registry.DecideDocument(tx, q, by("sam")); err != nil {
				return err
			}
		}
		return nil
	})
}
