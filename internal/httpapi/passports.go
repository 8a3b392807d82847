package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/auth"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/dpp"
	"caos/internal/verify"
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
	a.registerPassportScript()
	read := may("passport:read")
	operation(a, get("/v1/passports", read).as("list-passports", "passports", "List product passports, latest first"), a.listPassports)
	operation(a, get("/v1/passports/{passport_id}", read).as("get-passport", "passports", "A product passport").
		about("What is stored about it. The signed credential itself is at its verification_uri, by content negotiation."),
		func(c *call, p *PassportPath, _ *none) (*dpp.Passport, error) { return a.passport(c, p.ID) })
	operation(a, get("/v1/passports/{passport_id}/history", read).as("passport-history", "passports", "What happened to a passport after it was signed, latest first"), a.passportHistory)
	operation(a, get("/v1/passports/{passport_id}/links", read).as("passport-links", "passports", "Where all is that a passport hangs together with").
		about("Baseline, report, evidence, deployments, lineage, proof in the log, transaction on the chain: null or empty for what there is not."), a.passportLinks)
	operation(a, post("/v1/passports/{passport_id}/revoke", mayWithMFA("passport:revoke")).as("revoke-passport", "passports", "Say that a passport must not be relied on any more, for good").
		about("Its signature stays what it is. Its page, its row and the signed status list that it names say that it was revoked; why, those alone are told who may read it."), a.revokePassport)
	id := param("passport_id", "path", "the passport", words())
	a.plain(get("/v1/passports/{passport_id}/annex", read).as("get-passport-annex", "passports", "The restricted annex of a passport").
		about("Its SHA-256 is the annexDigest that the credential states."),
		huma.Operation{Parameters: []*huma.Param{id}, Responses: binary("200", "Canonical JSON; Content-Digest says which", jsonMedia)}, a.passportAnnex)
	a.plain(get("/dpp/{passport_id}", anyone()).as("passport-page", "passports", "The public page of a passport").
		about("A page for people, or the signed credential for whoever accepts application/vc, application/ld+json or application/json. "+
			"Passports of models that are classified Restricted or higher are there for those alone who may read them: send the token."),
		huma.Operation{Parameters: []*huma.Param{id}, Responses: binary("200", "The page, or the credential", pageType, credentialMedia, jsonLDMedia, jsonMedia)}, a.passportPage)
	a.plain(get("/dpp/{passport_id}/{file}", anyone()).as("passport-file", "passports", "The signed credential of a passport, the proof that the audit log has it, or the keys of that log").
		about("credential is the W3C Verifiable Credential 2.0, to be saved. proof is the passport's public record with its salt, its leaf and the proof "+
			"(c2sp.org/tlog-proof@v1) that the leaf stands in the tree of the freshest checkpoint: with the trust file it can be checked without asking anybody. "+
			"trust is the trust file of the log that has the record: that of /v1/trust, unless that log was closed by a recovery since. Who wants to be sure has it from the operator in another way."),
		huma.Operation{Parameters: []*huma.Param{id, param("file", "path", "credential, proof or trust", words())},
			Responses: binary("200", "A credential, a proof, or a trust file", credentialMedia, jsonMedia)}, a.passportFile)
	a.plain(get("/dpp/status/{list}", anyone()).as("passport-status-list", "passports", "A status list: which passports were revoked").
		about("A signed W3C Bitstring Status List 1.0. Each passport names its list and its place in it; a bit that is set says that it was revoked. "+
			"The list holds at least 131,072 places, so that asking for it does not tell whose passport is meant."),
		huma.Operation{Parameters: []*huma.Param{param("list", "path", "number of the list", words())}, Responses: binary("200", "A W3C Verifiable Credential 2.0", credentialMedia)}, a.statusList)
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

// PassportRevokeBody says why a passport is revoked.
type PassportRevokeBody struct {
	Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"for those who may read the passport"`
}

func (a *API) revokePassport(c *call, p *PassportPath, body *PassportRevokeBody) (*dpp.Passport, error) {
	seen, err := a.passport(c, p.ID)
	if err != nil {
		return nil, err
	}
	var after *dpp.Passport
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		if err := a.authorize(c, tx, passportResource(seen)); err != nil {
			return err
		}
		after, err = a.Passports.Revoke(tx, p.ID, body.Reason, dpp.By{Actor: c.by.ID, RecordedBy: c.by.ID})
		return err
	})
	return after, err
}

// passportLinks leaves out the evidence that the caller may not know of.
func (a *API) passportLinks(c *call, p *PassportPath, _ *none) (*dpp.Links, error) {
	if _, err := a.passport(c, p.ID); err != nil {
		return nil, err
	}
	seen, err := a.evidenceSeen(c)
	if err != nil {
		return nil, err
	}
	return a.Passports.Links(c.ctx(), p.ID, seen)
}

// passportFile answers with what anybody may save of a passport.
func (a *API) passportFile(c *call) error {
	file := c.path("file")
	if file != "credential" && file != "proof" && file != "trust" {
		return caos.Errorf(caos.NotFound, "there is no such file of a passport").WithField("file").WithHint("there are credential, proof and trust")
	}
	row, err := a.publicPassport(c, a.passportByID(c))
	if err != nil {
		return err
	}
	if file == "credential" {
		c.set("Content-Disposition", attachment(row.PassportID+".json"))
		return a.writeCredential(c, row, credentialMedia)
	}
	if file == "trust" {
		return a.passportTrust(c, row)
	}
	proof, err := a.Passports.Proof(c.ctx(), row)
	if err != nil {
		return err
	}
	if err := a.underCosigned(c.ctx(), proof); err != nil {
		return err
	}
	text, err := codec.Canonical(proof)
	if err != nil {
		return err
	}
	a.openTo(c, row.Classification)
	c.set("Cache-Control", "no-cache") // the next one has a fresher checkpoint
	c.set("Content-Disposition", attachment(row.PassportID+".proof.json"))
	sum := sha256.Sum256(text)
	return c.signed(text, verify.FormatHash(sum), jsonMedia)
}

// passportTrust answers with the keys of the log that has the passport's record.
func (a *API) passportTrust(c *call, row *dpp.Passport) error {
	id := row.PublicRecordID
	if id == "" {
		id = row.RecordID // it was issued by an earlier version
	}
	s, err := a.Log.Get(c.ctx(), id)
	if err != nil {
		return err
	}
	trust, err := a.Log.TrustOf(c.ctx(), s.Generation)
	if err != nil {
		return err
	}
	text, err := trust.Marshal()
	if err != nil {
		return err
	}
	a.openTo(c, row.Classification)
	c.set("Cache-Control", "no-cache") // keys are retired
	sum := sha256.Sum256(text)
	return c.signed(text, verify.FormatHash(sum), jsonMedia)
}

// statusList answers with a signed status list.
func (a *API) statusList(c *call) error {
	n, err := strconv.ParseInt(c.path("list"), 10, 64)
	if err != nil || n < 1 || strconv.FormatInt(n, 10) != c.path("list") {
		return caos.Errorf(caos.NotFound, "there is no such status list").WithField("list").WithHint("lists have numbers from 1")
	}
	list, err := a.Passports.Status(c.ctx(), n)
	if err != nil {
		return err
	}
	a.openTo(c, "")
	c.set("Cache-Control", "no-cache") // a passport may be revoked at any time
	return c.signed(list.Credential, list.Digest, credentialMedia)
}

// openTo lets pages of other people's read what is public anyhow: verifiers run there.
func (a *API) openTo(c *call, classification string) {
	if openToAll(classification) {
		c.set("Access-Control-Allow-Origin", "*")
		c.set("Cross-Origin-Resource-Policy", "cross-origin")
	}
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

// evidenceSeen returns whether the caller may know of an item of evidence.
func (a *API) evidenceSeen(c *call) (func(id string) (bool, error), error) {
	sees, err := a.Auth.Visible(c.by, "evidence:read", kindOf("evidence:read"))
	blind := caos.KindOf(err) == caos.Denied
	if err != nil && !blind {
		return nil, err
	}
	return func(id string) (bool, error) {
		if blind || a.Evidence == nil {
			return false, nil
		}
		it, err := a.Evidence.Get(c.ctx(), id)
		if caos.KindOf(err) == caos.NotFound {
			return false, nil
		}
		return err == nil && sees.Sees(it.CollectedBy, it.Project, it.Classification), err
	}, nil
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
	seen, err := a.evidenceSeen(c)
	if err != nil {
		return page, err
	}
	page.NextCursor = next
	for _, e := range list {
		if e.Kind == dpp.KindEvidence {
			if there, err := seen(e.Subject); err != nil {
				return page, err
			} else if !there {
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

// openToAll reports whether anybody may know of a thing of a classification.
func openToAll(classification string) bool { return dpp.Public(classification) }

// absentAfter is the step in which it is said that there is no such passport. To find one and
// its model takes some 20 µs more than to find none, and identifiers can be guessed.
const absentAfter = 3 * time.Millisecond

// untilStep is how long an answer that took so long waits. A least time alone would be over
// where a credential is looked at, or a server is busy, and then every microsecond shows.
func untilStep(took time.Duration) time.Duration { return absentAfter - took%absentAfter }

// publicPassport returns a passport to whoever asks, unless its model is classified: then
// to those alone who may read it, and everybody else hears what they would hear of one that
// is not there, and no sooner or later.
func (a *API) publicPassport(c *call, find func() (*dpp.Passport, error)) (*dpp.Passport, error) {
	began := time.Now() // of the machine: nothing is recorded by it
	p, err := a.passportFor(c, find)
	if caos.KindOf(err) == caos.NotFound {
		rest := time.NewTimer(untilStep(time.Since(began)))
		defer rest.Stop()
		select {
		case <-rest.C:
		case <-c.ctx().Done():
		}
	}
	return p, err
}

// passportFor is publicPassport without its patience. A credential that is sent is looked at
// first, whatever the passport is, so that the answer to a bad one tells nothing.
func (a *API) passportFor(c *call, find func() (*dpp.Passport, error)) (*dpp.Passport, error) {
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
	a.openTo(c, p.Classification)
	return c.signed(raw, p.Digest, media)
}
