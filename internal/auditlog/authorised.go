package auditlog

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"caos/internal/db"
)

// Authorised looks for the record of an authorisation with the given id. matches says that
// it names every one of the resources; by is who gave it. A record of a decision is none:
// it may have been a refusal.
func (l *Log) Authorised(tx *db.Tx, id string, resources []string) (known, matches bool, by []string, err error) {
	var text string
	err = tx.QueryRow(`SELECT record FROM audit_records WHERE id = $1 AND type = 'AUTHORISATION'`, id).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return false, false, nil, nil
	}
	if err != nil {
		return false, false, nil, err
	}
	var r struct {
		Actor     string   `json:"actor"`
		Resources []string `json:"resources"`
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return false, false, nil, fmt.Errorf("read record %s: %w", id, err)
	}
	matches = !slices.ContainsFunc(resources, func(s string) bool { return !slices.Contains(r.Resources, s) })
	return true, matches, []string{r.Actor}, nil
}

// Names reports whether the record with an id is about one of the resources. A record of what
// was refused is about nothing that happened.
func (l *Log) Names(tx *db.Tx, id string, resources []string) (bool, error) {
	var text string
	err := tx.QueryRow(`SELECT record FROM audit_records WHERE id = $1 AND type <> 'ACCESS'`, id).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var r struct {
		Resources []string `json:"resources"`
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return false, fmt.Errorf("read record %s: %w", id, err)
	}
	return slices.ContainsFunc(resources, func(s string) bool { return slices.Contains(r.Resources, s) }), nil
}
