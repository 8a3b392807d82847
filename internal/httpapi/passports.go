package httpapi

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/auth"
	"caos/internal/dpp"
)

type passportList struct {
	Paging
	Model   string    `query:"model_id" maxLength:"100"`
	Version string    `query:"model_version" maxLength:"64"`
	Event   dpp.Event `query:"lifecycle_event" enum:"FREEZE,DEPLOYMENT,CERTIFICATION,ROLLBACK,RETIREMENT"`
	Latest  bool      `query:"latest" doc:"of each model, version and event only the latest"`
	Project string    `query:"project" maxLength:"100"`
}

// PassportPath names a passport.
type PassportPath struct {
	ID string `path:"passport_id" maxLength:"120" example:"DPP-NN-FCS-001-2.1.0-FREEZE"`
}

type passportHistory struct {
	PassportPath
	Paging
}

// The media types of a credential: the first is that of verifiable credentials.
const (
	credentialMedia = "application/vc"
	jsonLDMedia     = "application/ld+json"
	jsonMedia       = "application/json"
)

func (a *API) registerPassports() {
	a.passportSheet = newPassportSheet()
	read := may("passport:read")
	operation(a, get("/v1/passports", read).as("list-passports", "passports", "List product passports, latest first"), a.listPassports)
	operation(a, get("/v1/passports/{passport_id}", read).as("get-passport", "passports", "A product passport").
		about("What is stored about it. The signed credential itself is at its verification_uri, by content negotiation."),
		func(c *call, p *PassportPath, _ *none) (*dpp.Passport, error) { return a.passport(c, p.ID) })
	operation(a, get("/v1/passports/{passport_id}/history", read).as("passport-history", "passports", "What happened to a passport after it was signed, latest first"), a.passportHistory)
	id := param("passport_id", "path", "the passport", words())
	a.plain(get("/v1/passports/{passport_id}/annex", read).as("get-passport-annex", "passports", "The restricted annex of a passport").
		about("Its SHA-256 is the annexDigest that the credential states."),
		huma.Operation{Parameters: []*huma.Param{id}, Responses: binary("200", "Canonical JSON; Content-Digest says which", jsonMedia)}, a.passportAnnex)
	a.plain(get("/dpp/{passport_id}", anyone()).as("passport-page", "passports", "The public page of a passport").
		about("A page for people, or the signed credential for whoever accepts application/vc, application/ld+json or application/json. "+
			"Passports of models that are classified Restricted or higher are there for those alone who may read them: send the token."),
		huma.Operation{Parameters: []*huma.Param{id}, Responses: binary("200", "The page, or the credential", pageType, credentialMedia, jsonLDMedia, jsonMedia)}, a.passportPage)
	a.plain(get("/dpp/{passport_id}/credential", anyone()).as("passport-credential", "passports", "The signed credential of a passport, to be saved"),
		huma.Operation{Parameters: []*huma.Param{id}, Responses: binary("200", "A W3C Verifiable Credential 2.0", credentialMedia)},
		func(c *call) error {
			row, err := a.publicPassport(c, a.passportByID(c))
			if err != nil {
				return err
			}
			c.set("Content-Disposition", attachment(row.PassportID+".json"))
			return a.writeCredential(c, row, credentialMedia)
		})
	a.plain(get("/ipfs/{cid}", anyone()).as("passport-by-cid", "passports", "The bytes of a credential by their content identifier").
		about("As a trustless IPFS gateway gives a raw block: the identifier is the digest of what comes."),
		huma.Operation{Parameters: []*huma.Param{param("cid", "path", "of the credential: what follows ipfs://", words())},
			Responses: binary("200", "A W3C Verifiable Credential 2.0", credentialMedia)},
		func(c *call) error {
			row, err := a.publicPassport(c, func() (*dpp.Passport, error) { return a.Passports.ByCID(c.ctx(), c.path("cid")) })
			if err != nil {
				return err
			}
			return a.writeCredential(c, row, credentialMedia)
		})
	a.plain(get("/contexts/{name}", anyone()).as("context", "passports", "A JSON-LD context that passports use"),
		huma.Operation{Parameters: []*huma.Param{param("name", "path", strings.Join(dpp.ContextNames(), " or "), words())},
			Responses: binary("200", "A JSON-LD context", jsonLDMedia)}, a.ldContext)
}

func passportResource(p *dpp.Passport) auth.Resource {
	return auth.Resource{Type: "Passport", ID: p.PassportID, Project: p.Project, Classification: p.Classification}
}

// passport returns a passport that the caller may see.
func (a *API) passport(c *call, id string) (*dpp.Passport, error) {
	p, err := a.Passports.Get(c.ctx(), id)
	if err != nil {
		return nil, c.unknown("passport", err)
	}
	if p.Classification, err = a.classifiedNow(c.ctx(), p); err != nil {
		return nil, err
	}
	c.execution = p.ExecutionID
	return p, a.seeFor(c, "passport:read", "passport", passportResource(p))
}

func (a *API) listPassports(c *call, p *passportList, _ *none) (Page[*dpp.Passport], error) {
	page := Page[*dpp.Passport]{Items: []*dpp.Passport{}}
	sees, err := a.visibility(c)
	if err != nil {
		return page, err
	}
	f := dpp.Filter{ModelID: p.Model, Version: p.Version, Event: p.Event, Project: onlyProject(sees, p.Project), Latest: p.Latest, Limit: p.Limit}
	list, next, err := a.Passports.List(c.ctx(), f, p.Cursor)
	if err != nil {
		return page, err
	}
	page.NextCursor = next
	for _, one := range list {
		if one.Classification, err = a.classifiedNow(c.ctx(), one); err != nil {
			return page, err
		}
		if sees.Sees("", one.Project, one.Classification) {
			page.Items = append(page.Items, one)
		}
	}
	return page, nil
}

// passportHistory leaves out the evidence that the caller may not know of.
func (a *API) passportHistory(c *call, p *passportHistory, _ *none) (Page[dpp.Entry], error) {
	page := Page[dpp.Entry]{Items: []dpp.Entry{}}
	if _, err := a.passport(c, p.ID); err != nil {
		return page, err
	}
	list, next, err := a.Passports.History(c.ctx(), p.ID, p.Limit, p.Cursor)
	if err != nil {
		return page, err
	}
	sees, err := a.Auth.Visible(c.by, "evidence:read", kindOf("evidence:read"))
	blind := caos.KindOf(err) == caos.Denied
	if err != nil && !blind {
		return page, err
	}
	page.NextCursor = next
	for _, e := range list {
		if e.Kind == dpp.KindEvidence {
			if blind || a.Evidence == nil {
				continue
			}
			it, err := a.Evidence.Get(c.ctx(), e.Subject)
			if caos.KindOf(err) == caos.NotFound {
				continue
			}
			if err != nil {
				return page, err
			}
			if !sees.Sees(it.CollectedBy, it.Project, it.Classification) {
				continue
			}
		}
		page.Items = append(page.Items, e)
	}
	return page, nil
}

func (a *API) passportAnnex(c *call) error {
	p, err := a.passport(c, c.path("passport_id"))
	if err != nil {
		return err
	}
	annex, err := a.Passports.Annex(p)
	if err != nil {
		return err
	}
	c.set("Content-Disposition", attachment(p.PassportID+".annex.json"))
	return c.signed(annex, p.AnnexDigest, jsonMedia)
}

// signed answers with bytes that somebody will hash.
func (c *call) signed(body []byte, digest, media string) error {
	if sum, err := hex.DecodeString(strings.TrimPrefix(digest, "SHA256:")); err == nil {
		c.set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":")
	}
	c.set("Content-Type", media)
	c.set("ETag", `"`+digest+`"`)
	c.set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(body) // nobody is left to tell
	}
	return nil
}

func (a *API) ldContext(c *call) error {
	text, ok := dpp.Contexts()[c.path("name")]
	if !ok {
		return caos.Errorf(caos.NotFound, "there is no such context").WithField("name").WithHint("there is %s", strings.Join(dpp.ContextNames(), " and "))
	}
	c.set("Access-Control-Allow-Origin", "*") // a processor in somebody's browser needs it
	c.set("Cross-Origin-Resource-Policy", "cross-origin")
	c.set("Cache-Control", "public, max-age=86400")
	c.set("Content-Type", jsonLDMedia)
	c.set("Content-Length", strconv.Itoa(len(text)))
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(text)
	}
	return nil
}

// passportByID finds the passport that the path names.
func (a *API) passportByID(c *call) func() (*dpp.Passport, error) {
	return func() (*dpp.Passport, error) { return a.Passports.Get(c.ctx(), c.path("passport_id")) }
}

// openToAll reports whether anybody may know of a thing of a classification. What is not
// classified is Internal.
func openToAll(classification string) bool {
	return slices.Contains([]string{"", "Public", "Internal"}, classification)
}

// publicPassport returns a passport to whoever asks, unless its model is classified: then
// to those alone who may read it, and everybody else hears what they would hear of one that
// is not there. A credential that is sent is looked at first, whatever the passport is, so
// that the answer to a bad one tells nothing.
func (a *API) publicPassport(c *call, find func() (*dpp.Passport, error)) (*dpp.Passport, error) {
	if len(c.r.Header["Authorization"]) > 0 {
		bearer, err := c.credential()
		if err != nil {
			return nil, err
		}
		if c.by, err = a.authenticate(c, bearer); err != nil {
			return nil, err
		}
	}
	p, err := find()
	if err != nil {
		return nil, c.unknown("passport", err)
	}
	if p.Classification, err = a.classifiedNow(c.ctx(), p); err != nil {
		return nil, err
	}
	switch {
	case openToAll(p.Classification):
		return p, nil
	case c.by.ID == "":
		return nil, c.absent("passport")
	}
	return p, a.seeFor(c, "passport:read", "passport", passportResource(p))
}

// classifiedNow is the classification that protects a passport: the higher of the model's
// when it was issued and the model's now, so that raising it closes the page.
func (a *API) classifiedNow(ctx context.Context, p *dpp.Passport) (string, error) {
	if a.Registry == nil {
		return p.Classification, nil
	}
	m, err := a.Registry.Model(ctx, p.ModelID)
	if caos.KindOf(err) == caos.NotFound {
		return p.Classification, nil
	}
	if err != nil {
		return "", err
	}
	return caos.Stricter(p.Classification, m.Classification), nil
}

// writeCredential answers with the signed credential, byte for byte as it is stored.
func (a *API) writeCredential(c *call, p *dpp.Passport, media string) error {
	raw, err := a.Passports.Credential(p)
	if err != nil {
		return err
	}
	if openToAll(p.Classification) {
		c.set("Access-Control-Allow-Origin", "*") // verifiers run in other people's pages
		c.set("Cross-Origin-Resource-Policy", "cross-origin")
	}
	return c.signed(raw, p.Digest, media)
}
