package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/readiness"
	"caos/internal/verify"
)

type releaseList struct {
	Paging
	Model    string `query:"model_id" maxLength:"64"`
	Version  string `query:"model_version" maxLength:"64"`
	Baseline string `query:"baseline_id" maxLength:"100"`
	Status   string `query:"status" enum:"DRAFT,REQUESTED,AUTHORISED,REJECTED,REVOKED" doc:"as it was last decided; an expired one is found under what it was"`
	Project  string `query:"project" maxLength:"100"`
}

// ReleasePath names a release authorisation.
type ReleasePath struct {
	ID string `path:"authorization_id" maxLength:"100" example:"REL-AUTH-NN-DLY-001-1.0.0"`
}

type releaseEditPath struct {
	ReleasePath
	IfMatch string `header:"If-Match" maxLength:"64" doc:"ETag of the draft that is changed"`
}

type releaseActPath struct {
	ReleasePath
	Proposing
}

type releaseCheckPath struct {
	ReleasePath
	Platforms []string `query:"platform" maxItems:"50" doc:"to which one wants to deploy; several between commas. Those of the authorisation if left out"`
	Strategy  string   `query:"strategy" enum:"BLUE_GREEN,CANARY,ROLLING" doc:"the first that is authorised, if left out"`
	Baseline  string   `query:"baseline_id" maxLength:"100" doc:"that one wants to deploy; the authorisation's if left out"`
	At        string   `query:"at" maxLength:"40" doc:"when; now if left out" example:"2026-12-01T08:00:00Z"`
}

// NewReleaseBody opens the draft of a release authorisation.
type NewReleaseBody struct {
	PRRID     string   `json:"prr_id" maxLength:"100" doc:"the review on which it rests: approved"`
	Platforms []string `json:"platforms,omitempty" maxItems:"50"`
}

// ReleaseScopeBody changes what it names of a draft.
type ReleaseScopeBody struct {
	Platforms  *[]string  `json:"platforms,omitempty" maxItems:"50"`
	Strategies *[]string  `json:"strategies,omitempty" maxItems:"3" doc:"those allowed: BLUE_GREEN, CANARY, ROLLING"`
	NotBefore  *time.Time `json:"not_before,omitempty" doc:"left out or year 1: as soon as it is authorised"`
	NotAfter   *time.Time `json:"not_after,omitempty" doc:"at most a year after the request"`
	Rationale  *string    `json:"rationale,omitempty" maxLength:"4000"`
}

// ReleaseSignBody approves or rejects a release.
type ReleaseSignBody struct {
	Role string `json:"role,omitempty" enum:"chief-engineer,qa-lead" doc:"in which it is signed; may be left out by who holds one of them"`
	ProofBody
}

// ReleaseRevokeBody takes a release back.
type ReleaseRevokeBody struct {
	Reason string `json:"reason" minLength:"1" maxLength:"300" doc:"one line; part of what is signed"`
	ProofBody
}

// ReleaseCheck says whether a release authorisation would allow a deployment, and why.
type ReleaseCheck struct {
	AuthorizationID string               `json:"authorization_id"`
	Authorised      bool                 `json:"authorised"` // every check passes
	Deployment      readiness.Deployment `json:"deployment"`
	Checks          []readiness.Check    `json:"checks"`
}

func (a *API) registerReleases() {
	read, write := may("release:read"), may("release:write")
	const tag = "release-authorizations"
	operation(a, get("/v1/release-authorizations", read).as("list-release-authorizations", tag, "Release authorisations without their approvals, latest first"), a.listReleases)
	operation(a, post("/v1/release-authorizations", write).answers(http.StatusCreated).as("open-release-authorization", tag, "Open the draft of a release authorisation").
		about("An approved review opens the first one by itself; this is for the next, when the last was rejected, revoked or has expired."), a.openRelease)
	operation(a, get("/v1/release-authorizations/{authorization_id}", read).as("get-release-authorization", tag, "A release authorisation with its approvals"),
		func(c *call, p *ReleasePath, _ *none) (*readiness.ReleaseAuthorization, error) {
			x, err := a.releaseNamed(c, p.ID)
			if err == nil {
				c.set("ETag", etag(x.Revision))
			}
			return x, err
		})
	operation(a, get("/v1/release-authorizations/{authorization_id}/check", read).as("check-release-authorization", tag, "Whether it would allow a deployment, and why").
		about("Every condition with whether it holds and, if not, the remedy: the same answer as whatever deploys gets. Nothing is changed."), a.checkRelease)
	operation(a, patch("/v1/release-authorizations/{authorization_id}", write).as("edit-release-authorization", tag, "Change the scope of a draft"), a.editRelease)
	operation(a, post("/v1/release-authorizations/{authorization_id}/request", write).as("request-release", tag, "Fix the scope of a draft and ask for the two signatures").
		about("From then on the scope stands: what is signed is its digest. Whoever asks does not sign."),
		func(c *call, p *ReleasePath, _ *none) (*readiness.ReleaseAuthorization, error) {
			return a.changeRelease(c, p.ID, func(tx *db.Tx) (*readiness.ReleaseAuthorization, error) {
				return a.Readiness.Request(tx, p.ID, c.by, c.actor())
			})
		})
	sign := may("release:approve")
	for _, one := range []struct{ word, summary, outcome string }{
		{"approve", "Approve a release", verify.OutcomeApproved}, {"reject", "Reject a release", verify.OutcomeRejected},
	} {
		e := post("/v1/release-authorizations/{authorization_id}/"+one.word, sign).as(one.word+"-release", tag, one.summary).
			about("A decision in one's own name, by two people in two roles: the chief engineer and the quality assurance lead. One rejection rejects. " +
				"Nobody who had a hand in the version, its review or this request.")
		operation(a, orProposal[readiness.ReleaseAuthorization](a, e), func(c *call, p *releaseActPath, body *ReleaseSignBody) (any, error) {
			return a.signRelease(c, p, body, one.outcome)
		})
	}
	revoke := post("/v1/release-authorizations/{authorization_id}/revoke", may("release:revoke")).as("revoke-release", tag, "Take a release back, at once and for good").
		about("A decision in one's own name. One person suffices; stopping is safe, so a hand in the version is no bar.")
	operation(a, orProposal[readiness.ReleaseAuthorization](a, revoke), a.revokeRelease)
}

func releaseResource(x *readiness.ReleaseAuthorization) auth.Resource {
	return auth.Resource{Type: "Release", ID: x.AuthorizationID, Project: x.Project, Classification: x.Classification, Owner: x.RequestedBy, Parties: x.Requesters}
}

// releaseNamed returns a release authorisation that the caller may see.
func (a *API) releaseNamed(c *call, id string) (*readiness.ReleaseAuthorization, error) {
	x, err := a.Readiness.Authorization(c.ctx(), id)
	if err != nil {
		return nil, c.unknown("release authorisation", err)
	}
	return x, a.seeOf(c, "release:read", "release authorisation", releaseResource(x), x.ModelID)
}

func (a *API) listReleases(c *call, p *releaseList, _ *none) (Page[*readiness.ReleaseAuthorization], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*readiness.ReleaseAuthorization]{}, err
	}
	f := readiness.AuthorizationFilter{ModelID: p.Model, Version: p.Version, BaselineID: p.Baseline, Status: readiness.AuthorizationStatus(p.Status),
		Project: onlyProject(sees, p.Project), Limit: p.Limit}
	list, next, err := a.Readiness.Authorizations(c.ctx(), f, p.Cursor)
	return visible(sees, list, next, releaseResource), err
}

func (a *API) openRelease(c *call, _ *none, body *NewReleaseBody) (*readiness.ReleaseAuthorization, error) {
	v, err := a.Readiness.Review(c.ctx(), body.PRRID)
	if err == nil {
		err = a.seeOf(c, "review:read", "review", reviewResource(v), v.ModelID)
	}
	if caos.KindOf(err) == caos.NotFound {
		return nil, caos.Errorf(caos.NotFound, "there is no such review, or it is not for you").WithField("prr_id")
	}
	if err != nil {
		return nil, err
	}
	var made *readiness.ReleaseAuthorization
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		v, err := a.Readiness.ReviewIn(tx, body.PRRID)
		if err != nil {
			return err
		}
		if v.Status != readiness.ReviewDecided || v.Decision != verify.OutcomeApproved {
			return caos.Errorf(caos.Conflict, "the review %s has not approved %s %s: it is %s", v.PRRID, v.ModelID, v.Version, v.Status).WithField("prr_id").WithRule("release-review").
				WithHint("a release rests on a review that ended APPROVED, all its conditions closed")
		}
		s, err := a.subjectOf(tx, v.BaselineID)
		if err != nil {
			return err
		}
		if made, err = a.Readiness.OpenAuthorization(tx, s, v.PRRID, body.Platforms, c.actor()); err != nil {
			return err
		}
		return a.authorize(c, tx, releaseResource(made))
	})
	if err != nil {
		return nil, err
	}
	c.set("Location", "/v1/release-authorizations/"+url.PathEscape(made.AuthorizationID))
	c.set("ETag", etag(made.Revision))
	return made, nil
}

// changeRelease runs do in a transaction that may do the route's action to a release
// authorisation as it is there.
func (a *API) changeRelease(c *call, id string, do func(tx *db.Tx) (*readiness.ReleaseAuthorization, error)) (*readiness.ReleaseAuthorization, error) {
	x, err := a.releaseNamed(c, id)
	if err != nil {
		return nil, err
	}
	var after *readiness.ReleaseAuthorization
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		before, err := a.Readiness.AuthorizationIn(tx, id)
		if err != nil {
			return err
		}
		if err := a.authorize(c, tx, releaseResource(before)); err != nil {
			return err
		}
		after, err = do(tx)
		return err
	})
	if err != nil {
		return nil, c.refusedAct(releaseResource(x), stale(err))
	}
	c.set("ETag", etag(after.Revision))
	return after, nil
}

func (a *API) editRelease(c *call, p *releaseEditPath, body *ReleaseScopeBody) (*readiness.ReleaseAuthorization, error) {
	revision, err := seen(p.IfMatch)
	if err != nil {
		return nil, err
	}
	change := readiness.ScopeChange{Platforms: body.Platforms, Strategies: body.Strategies, NotBefore: body.NotBefore, NotAfter: body.NotAfter, Rationale: body.Rationale}
	return a.changeRelease(c, p.ID, func(tx *db.Tx) (*readiness.ReleaseAuthorization, error) {
		return a.Readiness.UpdateScope(tx, p.ID, change, revision, c.actor())
	})
}

// release returns what a transaction knows of a release authorisation and who cannot sign it.
func (a *API) release(tx *db.Tx, id string) (auth.Resource, error) {
	x, err := a.Readiness.AuthorizationIn(tx, id)
	if err != nil {
		return auth.Resource{}, err
	}
	res := releaseResource(x)
	barred, err := a.barredFrom(tx, x.Subject)
	res.Parties = append(slices.Clone(res.Parties), barred...)
	return res, err
}

func (a *API) signRelease(c *call, p *releaseActPath, body *ReleaseSignBody, outcome string) (any, error) {
	if _, err := a.releaseNamed(c, p.ID); err != nil {
		return nil, err
	}
	return a.inPerson(c, personalAct{Proposing: p.Proposing, ProofBody: body.ProofBody,
		subject: func(tx *db.Tx) (auth.Resource, error) { return a.release(tx, p.ID) },
		ask: func(tx *db.Tx) (readiness.Proposal, error) {
			return a.Readiness.ProposeApproval(tx, p.ID, body.Role, outcome, c.by)
		},
		do: func(tx *db.Tx, proof readiness.Proof) (any, error) {
			if outcome == verify.OutcomeRejected {
				return a.Readiness.Reject(tx, p.ID, body.Role, proof, c.by)
			}
			return a.Readiness.Approve(tx, p.ID, body.Role, proof, c.by)
		},
	})
}

func (a *API) revokeRelease(c *call, p *releaseActPath, body *ReleaseRevokeBody) (any, error) {
	if _, err := a.releaseNamed(c, p.ID); err != nil {
		return nil, err
	}
	return a.inPerson(c, personalAct{Proposing: p.Proposing, ProofBody: body.ProofBody,
		subject: func(tx *db.Tx) (auth.Resource, error) { return a.release(tx, p.ID) },
		ask: func(tx *db.Tx) (readiness.Proposal, error) {
			return a.Readiness.ProposeRevocation(tx, p.ID, body.Reason, c.by)
		},
		do: func(tx *db.Tx, proof readiness.Proof) (any, error) {
			return a.Readiness.Revoke(tx, p.ID, body.Reason, proof, c.by)
		},
	})
}

// checkRelease answers whether an authorisation would allow a deployment. What the question
// leaves open is taken from the authorisation, so that the bare question is whether it is in
// force.
func (a *API) checkRelease(c *call, p *releaseCheckPath, _ *none) (ReleaseCheck, error) {
	x, err := a.releaseNamed(c, p.ID)
	if err != nil {
		return ReleaseCheck{}, err
	}
	d := readiness.Deployment{BaselineID: x.BaselineID, RootDigest: x.RootDigest, Platforms: p.Platforms, Strategy: p.Strategy, At: a.now().UTC().Truncate(time.Microsecond)}
	if p.At != "" {
		if d.At, err = time.Parse(time.RFC3339Nano, p.At); err != nil {
			return ReleaseCheck{}, caos.Errorf(caos.Invalid, "it is not a moment").WithField("at").WithHint("write it as 2026-12-01T08:00:00Z")
		}
	}
	for i, name := range d.Platforms {
		if d.Platforms[i] = strings.TrimSpace(name); len(name) > 200 {
			return ReleaseCheck{}, caos.Errorf(caos.Invalid, "the name is longer than 200 bytes").WithField("platform")
		}
	}
	if p.Baseline != "" && p.Baseline != x.BaselineID {
		if err := a.aboutBaseline(c, p.Baseline); err != nil {
			return ReleaseCheck{}, err
		}
		b, err := a.Registry.Baseline(c.ctx(), p.Baseline)
		if err != nil {
			return ReleaseCheck{}, err
		}
		d.BaselineID, d.RootDigest = b.BaselineID, b.RootDigest
	}
	if len(d.Platforms) == 0 {
		d.Platforms = x.Platforms
	}
	if d.Strategy == "" && len(x.Strategies) > 0 {
		d.Strategy = x.Strategies[0]
	}
	out := ReleaseCheck{AuthorizationID: x.AuthorizationID, Deployment: d, Checks: readiness.Authorises(x, d)}
	out.Authorised = !slices.ContainsFunc(out.Checks, func(k readiness.Check) bool { return !k.Pass })
	return out, nil
}
