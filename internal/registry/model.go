package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/codec"
	"caos/internal/db"
)

// Model is a model: what its versions have in common.
type Model struct {
	ModelID        string    `json:"model_id"` // NN-FCS-001
	Name           string    `json:"name"`
	Family         string    `json:"family"`        // kind of model, such as "MLP"; free
	SafetyLevel    string    `json:"safety_level"`  // DAL-A … DAL-E, "" while it is not assessed
	Regime         string    `json:"regime"`        // the rules it is certified under, such as EASA_CS-25
	Owner          string    `json:"owner"`         // user id
	FormerOwners   []string  `json:"former_owners"` // who owned it before, sorted
	Project        string    `json:"project"`
	Classification string    `json:"classification"`
	Description    string    `json:"description"`
	CreatedAt      time.Time `json:"created_at"`
	CreatedBy      string    `json:"created_by"`
	UpdatedAt      time.Time `json:"updated_at"`
	Revision       int64     `json:"revision"` // counts changes from 1; the ETag
}

// ModelChange is what of a model is to be different; nil fields stay.
type ModelChange struct {
	Name           *string `json:"name,omitempty"`
	Family         *string `json:"family,omitempty"`
	SafetyLevel    *string `json:"safety_level,omitempty"`
	Regime         *string `json:"regime,omitempty"`
	Owner          *string `json:"owner,omitempty"`
	Classification *string `json:"classification,omitempty"`
	Description    *string `json:"description,omitempty"`
}

// ModelFilter chooses models; empty fields match all.
type ModelFilter struct {
	Project string
	Family  string
	Owner   string
	Limit   int // of a page; 0 means 100, the most is 1000
}

// SafetyLevels lists the safety levels, the most critical first.
func SafetyLevels() []string { return []string{"DAL-A", "DAL-B", "DAL-C", "DAL-D", "DAL-E"} }

func (m *Model) check() error {
	if err := caos.CheckID("model", "model_id", m.ModelID); err != nil {
		return err
	}
	if strings.TrimSpace(m.Name) == "" {
		return caos.Errorf(caos.Invalid, "the model has no name").WithField("name").WithHint("say in a few words what it does")
	}
	for _, f := range []struct {
		name, v string
		most    int
	}{{"name", m.Name, maxLine}, {"family", m.Family, maxWord}, {"regime", m.Regime, maxWord}} {
		if err := checkLine(f.name, f.v, f.most); err != nil {
			return err
		}
	}
	if m.SafetyLevel != "" {
		if err := caos.CheckWord("safety_level", m.SafetyLevel, SafetyLevels()); err != nil {
			return err
		}
	}
	if err := caos.CheckID("user", "owner", m.Owner); err != nil {
		return err
	}
	if err := checkScope(m.Project, m.Classification); err != nil {
		return err
	}
	return checkText("description", m.Description)
}

// CreateModel registers a model. An empty Owner is the actor. Whether the owner is a known
// user is the caller's to check. Errors: Invalid naming the field, Conflict if the model is
// there already.
func (r *Registry) CreateModel(tx *db.Tx, m Model, by By) (*Model, error) {
	if m.Owner == "" {
		m.Owner = by.Actor
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	now := r.now()
	m.CreatedAt, m.CreatedBy, m.UpdatedAt, m.Revision, m.FormerOwners = now, by.Actor, now, 1, []string{}
	n, err := tx.ExecRows(`INSERT INTO models (model_id, name, family, safety_level, regime, owner, former_owners, project, classification, description,
		created_at, created_by, updated_at, revision) VALUES ($1, $2, $3, $4, $5, $6, '[]', $7, $8, $9, $10, $11, $12, 1) ON CONFLICT (model_id) DO NOTHING`,
		m.ModelID, m.Name, m.Family, m.SafetyLevel, m.Regime, m.Owner, m.Project, m.Classification, m.Description, db.Micros(now), by.Actor, db.Micros(now))
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, caos.Errorf(caos.Conflict, "the model %s is there already", m.ModelID).WithField("model_id").
			WithHint("change it, or give the next serial")
	}
	return &m, r.record(tx, by, note{Event: "model created", Resources: []string{m.ModelID}, Project: m.Project, Classification: m.Classification,
		Details: map[string]any{"name": m.Name, "owner": m.Owner, "safety_level": m.SafetyLevel, "regime": m.Regime}})
}

// UpdateModel changes a model that the caller saw at a revision (0 for any) and returns it.
// A change that changes nothing leaves no trace. A new classification is that of its
// versions and baselines too, and the least that its documents have. Errors: NotFound,
// Invalid, Conflict for another revision.
func (r *Registry) UpdateModel(tx *db.Tx, id string, c ModelChange, revision int64, by By) (*Model, error) {
	old, err := r.ModelIn(tx, id)
	if err != nil {
		return nil, err
	}
	if err := caos.CheckRevision(id, revision, old.Revision); err != nil {
		return nil, err
	}
	m := *old
	changed := edits{}
	changed.set("name", &m.Name, c.Name)
	changed.set("family", &m.Family, c.Family)
	changed.set("safety_level", &m.SafetyLevel, c.SafetyLevel)
	changed.set("regime", &m.Regime, c.Regime)
	changed.set("owner", &m.Owner, c.Owner)
	changed.set("classification", &m.Classification, c.Classification)
	changed.set("description", &m.Description, c.Description)
	if len(changed) == 0 {
		return old, nil
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	if m.Owner != old.Owner && !slices.Contains(m.FormerOwners, old.Owner) {
		m.FormerOwners = append(slices.Clone(m.FormerOwners), old.Owner)
		slices.Sort(m.FormerOwners)
	}
	m.UpdatedAt, m.Revision = r.now(), old.Revision+1
	n, err := tx.ExecRows(`UPDATE models SET name = $1, family = $2, safety_level = $3, regime = $4, owner = $5, former_owners = $6, classification = $7,
		description = $8, updated_at = $9, revision = $10 WHERE model_id = $11 AND revision = $12`,
		m.Name, m.Family, m.SafetyLevel, m.Regime, m.Owner, codec.ListJSON(m.FormerOwners), m.Classification, m.Description, db.Micros(m.UpdatedAt), m.Revision, id, old.Revision)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, caos.CheckRevision(id, old.Revision, old.Revision+1)
	}
	if m.Classification != old.Classification {
		if err := r.reclassify(tx, &m); err != nil {
			return nil, err
		}
	}
	if m.SafetyLevel != old.SafetyLevel && r.reassessed != nil {
		if err := r.reassessed(tx, id, m.SafetyLevel); err != nil {
			return nil, err
		}
	}
	return &m, r.record(tx, by, note{Event: "model changed", Resources: []string{id}, Project: m.Project,
		Classification: caos.Stricter(m.Classification, old.Classification), Details: map[string]any{"changed": changed, "revision": m.Revision}})
}

// edits are the fields that a change changes, with what they were and are.
type edits map[string]edit

type edit struct {
	From string `json:"from"`
	To   string `json:"to"`
}

func (e edits) set(name string, field *string, v *string) {
	if v == nil || *v == *field {
		return
	}
	e[name] = edit{From: clip(*field), To: clip(*v)}
	*field = *v
}

// clip shortens a text for a record.
func clip(s string) string {
	if len(s) <= maxLine {
		return s
	}
	return strings.ToValidUTF8(s[:maxLine], "") + "…"
}

// reclassify carries a model's new classification to what belongs to it. Documents are only
// raised: they may have a reason of their own to be higher.
func (r *Registry) reclassify(tx *db.Tx, m *Model) error {
	owners := []string{}
	collect := func(scan func(...any) error) error {
		var key string
		err := scan(&key)
		owners = append(owners, key)
		return err
	}
	if err := tx.Query(`UPDATE model_versions SET classification = $1 WHERE model_id = $2 RETURNING model_id || '@' || version`,
		[]any{m.Classification, m.ModelID}, collect); err != nil {
		return err
	}
	tx.Exec(`UPDATE baselines SET classification = $1 WHERE model_id = $2`, m.Classification, m.ModelID)
	reclassifyAbout(tx, m)
	lower := []string{}
	for _, c := range append(caos.Classifications(), "") {
		if caos.Sensitivity(c) < caos.Sensitivity(m.Classification) {
			lower = append(lower, c)
		}
	}
	if len(lower) > 0 {
		args := []any{m.Classification, m.ModelID}
		places := make([]string, len(lower))
		for i, c := range lower {
			args = append(args, c)
			places[i] = "$" + strconv.Itoa(len(args))
		}
		if err := tx.Query(`UPDATE documents SET classification = $1 WHERE model_id = $2 AND classification IN (`+strings.Join(places, ", ")+`)
			RETURNING document_id || '@' || version`, args, collect); err != nil {
			return err
		}
	}
	for _, owner := range owners {
		if err := r.objects.Reclassify(tx, owner, m.Classification); err != nil {
			return err
		}
	}
	if r.reclassified != nil {
		if err := r.reclassified(tx, m.ModelID, m.Classification); err != nil {
			return err
		}
	}
	return tx.Err()
}

func storedList(what, stored string) ([]string, error) {
	out := []string{}
	if err := json.Unmarshal([]byte(stored), &out); err != nil {
		return nil, fmt.Errorf("registry: read %s: %w", what, err)
	}
	return out, nil
}

const modelColumns = `model_id, name, family, safety_level, regime, owner, former_owners, project, classification, description,
	created_at, created_by, updated_at, revision`

func scanModel(scan func(...any) error) (*Model, error) {
	var m Model
	var former string
	var created, updated int64
	err := scan(&m.ModelID, &m.Name, &m.Family, &m.SafetyLevel, &m.Regime, &m.Owner, &former, &m.Project, &m.Classification, &m.Description,
		&created, &m.CreatedBy, &updated, &m.Revision)
	if err != nil {
		return nil, err
	}
	m.CreatedAt, m.UpdatedAt = db.Moment(created), db.Moment(updated)
	m.FormerOwners, err = storedList("former owners of "+m.ModelID, former)
	return &m, err
}

func getModel(q query, id string) (*Model, error) {
	if err := caos.CheckID("model", "model_id", id); err != nil {
		return nil, err
	}
	var m *Model
	err := q(`SELECT `+modelColumns+` FROM models WHERE model_id = $1`, []any{id}, func(scan func(...any) error) (err error) {
		m, err = scanModel(scan)
		return err
	})
	if err == nil && m == nil {
		err = caos.Errorf(caos.NotFound, "there is no model %s", id).WithField("model_id").WithHint("register it with: caos model create")
	}
	return m, err
}

// Model returns a model, or a NotFound error.
func (r *Registry) Model(ctx context.Context, id string) (*Model, error) {
	return getModel(r.pool(ctx), id)
}

// ModelIn returns a model as a transaction sees it.
func (r *Registry) ModelIn(tx *db.Tx, id string) (*Model, error) { return getModel(within(tx), id) }

// Models lists models, latest first. cursor is "" and then the one returned.
func (r *Registry) Models(ctx context.Context, f ModelFilter, cursor string) ([]*Model, string, error) {
	w := new(db.Where)
	w.Is("project", f.Project)
	w.Is("family", f.Family)
	w.Is("owner", f.Owner)
	return db.Page(r.pool(ctx), w, db.Listing[*Model]{Columns: modelColumns, From: "models", At: "created_at", ID: "model_id", Limit: f.Limit,
		Scan: scanModel,
		Key:  func(m *Model) (time.Time, string) { return m.CreatedAt, m.ModelID },
	}, cursor)
}
