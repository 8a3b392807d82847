package httpapi

import (
	"net/http"
	"time"

	"caos"
	"caos/internal/auth"
)

// EnrolBody is a key that its holder shows to have: the statement and their signature
// over it, as ssh-keygen -Y sign -n caos-key@v1 makes it.
type EnrolBody struct {
	Statement string `json:"statement" maxLength:"4096" doc:"the text of GET /v1/keys/statement, byte for byte"`
	Signature string `json:"signature" maxLength:"8192" doc:"armoured SSH signature"`
}

// RevokeBody ends a key.
type RevokeBody struct {
	CompromisedSince *time.Time `json:"compromised_since,omitempty" doc:"if it may be in the wrong hands: since when; what it signed afterwards no longer counts"`
}

// Statement is what is to be signed.
type Statement struct {
	Statement string `json:"statement"`
	Namespace string `json:"namespace"`
}

func (a *API) registerKeys() {
	type ofUser struct {
		User string `query:"user" maxLength:"64" doc:"whose; the caller's if left out"`
	}
	type keyPath struct {
		ID string `path:"key_id" maxLength:"64" example:"personal-0123456789abcdef"`
	}
	type statementQuery struct {
		PublicKey string `query:"public_key" required:"true" maxLength:"1024" doc:"the line of a .pub file"`
	}
	operation(a, get("/v1/keys", may("key:read")).as("list-keys", "keys", "The personal keys of an account"),
		func(c *call, p *ofUser, _ *none) (Page[auth.PersonalKey], error) {
			list, err := a.Auth.ListKeys(c.ctx(), c.by, orSelf(p.User, c))
			return Page[auth.PersonalKey]{Items: filled(list)}, err
		})
	operation(a, get("/v1/keys/statement", may("key:read")).as("key-statement", "keys", "What the holder of a key signs to enrol it"),
		func(c *call, p *statementQuery, _ *none) (Statement, error) {
			text, err := auth.NewKeyStatement(a.Origin, c.by.ID, p.PublicKey, a.now())
			return Statement{Statement: string(text), Namespace: auth.KeyNamespace}, err
		})
	operation(a, post("/v1/keys", mayWithMFA("key:enrol")).answers(http.StatusCreated).as("enrol-key", "keys", "Enrol a personal SSH key").
		about("It counts once a second person with the right to do so has countersigned it."),
		func(c *call, _ *none, body *EnrolBody) (auth.PersonalKey, error) {
			return a.Auth.EnrolKey(c.ctx(), c.by, []byte(body.Statement), []byte(body.Signature))
		})
	operation(a, post("/v1/keys/{key_id}/countersign", mayWithMFA("key:countersign")).as("countersign-key", "keys", "Vouch for somebody else's key"),
		func(c *call, p *keyPath, _ *none) (auth.PersonalKey, error) {
			return a.Auth.CountersignKey(c.ctx(), c.by, p.ID)
		})
	operation(a, post("/v1/keys/{key_id}/revoke", may("key:revoke")).as("revoke-key", "keys", "End a key"),
		func(c *call, p *keyPath, body *RevokeBody) (auth.PersonalKey, error) {
			var since time.Time
			if body.CompromisedSince != nil {
				if since = *body.CompromisedSince; since.IsZero() {
					return auth.PersonalKey{}, caos.Errorf(caos.Invalid, "it is no moment").WithField("compromised_since")
				}
			}
			return a.Auth.RevokeKey(c.ctx(), c.by, p.ID, since)
		})
}
