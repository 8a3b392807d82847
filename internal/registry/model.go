package registry

import (
	"context"
	"time"

	"caos"
	"caos/internal/db"
)

// Model is a model: what its versions have in common.
type Model struct {
	ModelID        string    `json:"model_id"` // NN-FCS-001
	Name           string    `json:"name"`
	Family         string    `json:"family"`       // kind of model, such as "MLP"; free
	SafetyLevel    string    `json:"safety_level"` // DAL-A … DAL-E, "" while it is not assessed
	Regime         string    `json:"regime"`       // the rules it is certified under, such as EASA_CS-25
	Owner          string    `json:"owner"`        // user id
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

// CreateModel registers a model. An empty Owner is the actor. Whether the owner is a known
// user is the caller's to check. Errors: Invalid naming the field, Conflict if the model is
// there already.
func (r *Registry) CreateModel(tx *db.Tx, m Model, by By) (*Model, error) { return nil, unfinished() }

// UpdateModel changes a model that the caller saw at a revision (0 for any) and returns it.
// Errors: NotFound, Invalid, Conflict for another revision.
func (r *Registry) UpdateModel(tx *db.Tx, id string, c ModelChange, revision int64, by By) (*Model, error) {
	return nil, unfinished()
}

// Model returns a model, or a NotFound error.
func (r *Registry) Model(ctx context.Context, id string) (*Model, error) { return nil, unfinished() }

// ModelIn returns a model as a transaction sees it.
func (r *Registry) ModelIn(tx *db.Tx, id string) (*Model, error) { return nil, unfinished() }

// Models lists models, latest first. cursor is "" and then the one returned.
func (r *Registry) Models(ctx context.Context, f ModelFilter, cursor string) ([]*Model, string, error) {
	return nil, "", unfinished()
}

func unfinished() error { return caos.Errorf(caos.Internal, "not built yet") }
