package httpapi

import (
	"strconv"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/secret"
)

// SecretBody are values of a path. They are sealed, and nothing gives them back.
type SecretBody struct {
	Values map[string]secret.Value `json:"values" maxProperties:"32" doc:"each at most 16 KiB of text; keys of the path that are not named stay as they are"`
}

// SecretsPut is what may be known of values that were put.
type SecretsPut struct {
	Items []secret.Entry `json:"items"`
}

// SecretsRotated says what a rotation has done.
type SecretsRotated struct {
	Resealed int `json:"resealed" doc:"values that were sealed again, under the new key"`
}

type secretList struct {
	Paging
	Path string `query:"path" maxLength:"600" doc:"only of this path"`
}

// SecretPath names the values of a path.
type SecretPath struct {
	Path string `path:"path" maxLength:"600" example:"s3/lake"`
}

type secretKey struct {
	SecretPath
	Key string `query:"key" required:"true" maxLength:"64"`
}

func (a *API) registerSecrets() {
	write := mayWithMFA("secret:write")
	operation(a, get("/v1/secrets", may("secret:list")).as("list-secrets", "secrets", "The names of secrets, last changed first").
		about("Values are never given back, to nobody."),
		func(c *call, p *secretList, _ *none) (Page[secret.Entry], error) {
			list, next, err := a.Secrets.List(c.ctx(), secret.Filter{Path: p.Path, Limit: p.Limit}, p.Cursor)
			return Page[secret.Entry]{Items: filled(list), NextCursor: next}, err
		})
	operation(a, put("/v1/secrets/{path...}", write).as("put-secret", "secrets", "Put values into the vault").
		about("Configuration names them as vault:PATH#KEY. The audit record has their names and who put them, not the values."), a.putSecret)
	operation(a, del("/v1/secrets/{path...}", write).as("delete-secret", "secrets", "Delete a value for good"), a.deleteSecret)
	operation(a, post("/v1/secrets/rotate", write).as("rotate-secrets", "secrets", "Make a new key and seal every value again under it").
		about("It may be repeated: what a broken rotation left is sealed again, too."), a.rotateSecrets)
}

// recordSecret appends the audit record of a change of the vault: names, never values, so
// that every auditor may read it.
func (a *API) recordSecret(c *call, tx *db.Tx, event string, entries []secret.Entry) error {
	revisions := map[string]string{}
	r := auditlog.Record{Type: auditlog.ConfigChange, Time: a.now(), Actor: c.by.ID, RecordedBy: c.by.ID}
	for _, e := range entries {
		r.Resources = append(r.Resources, e.Ref)
		revisions[e.Ref] = strconv.FormatInt(e.Revision, 10)
		r.Project = e.Project
	}
	r.Details = map[string]any{"event": event, "revisions": revisions}
	_, err := a.Log.Append(tx, r)
	return err
}

func (a *API) putSecret(c *call, p *SecretPath, body *SecretBody) (SecretsPut, error) {
	var out SecretsPut
	err := a.DB.Update(c.ctx(), func(tx *db.Tx) (err error) {
		if err := a.authorize(c, tx, auth.Resource{Type: "Secret", ID: p.Path}); err != nil {
			return err
		}
		if out.Items, err = a.Secrets.Put(tx, p.Path, body.Values, c.by.ID); err != nil {
			return err
		}
		return a.recordSecret(c, tx, "secret-put", out.Items)
	})
	return out, err
}

func (a *API) deleteSecret(c *call, p *secretKey, _ *none) (secret.Entry, error) {
	var gone secret.Entry
	err := a.DB.Update(c.ctx(), func(tx *db.Tx) (err error) {
		if err := a.authorize(c, tx, auth.Resource{Type: "Secret", ID: p.Path}); err != nil {
			return err
		}
		if gone, err = a.Secrets.Delete(tx, secret.Ref{Path: p.Path, Key: p.Key}); err != nil {
			return err
		}
		return a.recordSecret(c, tx, "secret-deleted", []secret.Entry{gone})
	})
	return gone, err
}

// rotateSecrets makes the key first, outside any transaction: a key that nothing is sealed
// under yet does no harm, a value whose key is not on disk would be lost.
func (a *API) rotateSecrets(c *call, _ *none, _ *none) (SecretsRotated, error) {
	var out SecretsRotated
	if err := a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		if err := a.authorize(c, tx, auth.Resource{Type: "Secret", ID: "keyset"}); err != nil {
			return err
		}
		_, err := a.Log.Append(tx, auditlog.Record{Type: auditlog.ConfigChange, Time: a.now(), Actor: c.by.ID, RecordedBy: c.by.ID,
			Resources: []string{"secret:keyset"}, Details: map[string]any{"event": "secret-keyset-rotated"}})
		return err
	}); err != nil {
		return out, err
	}
	if err := a.Secrets.Rotate(); err != nil {
		return out, err
	}
	for {
		n := 0
		if err := a.DB.Update(c.ctx(), func(tx *db.Tx) (err error) {
			if n, err = a.Secrets.Reseal(tx); err != nil || n == 0 {
				return err
			}
			_, err = a.Log.Append(tx, auditlog.Record{Type: auditlog.ConfigChange, Time: a.now(), Actor: c.by.ID, RecordedBy: c.by.ID,
				Resources: []string{"secret:keyset"}, Details: map[string]any{"event": "secrets-resealed", "count": n}})
			return err
		}); err != nil {
			return out, caos.AsError(err).WithHint("the new key is made; ask again to seal the rest under it")
		}
		if out.Resealed += n; n == 0 {
			return out, nil
		}
	}
}
