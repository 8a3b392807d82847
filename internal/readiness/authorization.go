package readiness

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/event"
	"caos/internal/verify"
)

// A release authorisation is leave to bring one baseline onto named platforms, by named
// strategies, in a window of time. A review that found the version ready opens it as a
// draft; a release manager gives it its scope and asks for it; from then on the scope
// stands, and the Chief Engineer and the Quality Assurance Lead sign its digest. One person
// alone may take it back at any time.

// AuthorizationStatus is where a release authorisation stands.
type AuthorizationStatus string

// The states of a release authorisation. All but AuthorizationExpired, which the clock
// makes of an authorised one, are stored.
const (
	AuthorizationDraft      AuthorizationStatus = "DRAFT"
	AuthorizationRequested  AuthorizationStatus = "REQUESTED"
	AuthorizationAuthorised AuthorizationStatus = "AUTHORISED"
	AuthorizationRejected   AuthorizationStatus = "REJECTED"
	AuthorizationRevoked    AuthorizationStatus = "REVOKED"
	AuthorizationExpired    AuthorizationStatus = "EXPIRED"
)

// Strategies lists how a release may be rolled out, in the specification's words.
func Strategies() []string { return []string{"BLUE_GREEN", "CANARY", "ROLLING"} }

// The events of release authorisations: authorization_id, model_id, model_version,
// baseline_id, status.
const (
	EventReleaseRequested = "caos.release.requested"
	EventReleaseDecided   = "caos.release.decided"
	EventReleaseRevoked   = "caos.release.revoked"
)

const (
	maxPlatforms = 50
	maxWindow    = 366 * 24 * time.Hour // of a release authorisation, from the request to its end
)

// ReleaseAuthorization is leave to bring a baseline into production.
type ReleaseAuthorization struct {
	AuthorizationID string `json:"authorization_id"` // REL-AUTH-NN-FCS-001-2.1.0, -2 for the second of a version
	Subject
	PRRID        string              `json:"prr_id"` // review on which it rests
	Status       AuthorizationStatus `json:"status"` // EXPIRED is reckoned when it is read
	Platforms    []string            `json:"platforms"`
	Strategies   []string            `json:"strategies"` // those allowed, see Strategies
	NotBefore    *time.Time          `json:"not_before"` // nil: as soon as it is authorised
	NotAfter     *time.Time          `json:"not_after"`  // nil in a draft alone
	Rationale    string              `json:"rationale"`
	Scope        string              `json:"scope"`        // the canonical text that is signed, "" for a draft
	ScopeDigest  string              `json:"scope_digest"` // "SHA256:" and hex of Scope
	OpenedAt     time.Time           `json:"opened_at"`
	OpenedBy     string              `json:"opened_by"`
	ExecutionID  string              `json:"execution_id"` // of the review that opened it, "" for a person
	RequestedAt  *time.Time          `json:"requested_at"`
	RequestedBy  string              `json:"requested_by"`
	Requesters   []string            `json:"requesters"` // everyone who shaped or asked for it, or could have in their stead: they do not approve
	Approvals    []*Decision         `json:"approvals"`  // approvals, and a rejection
	Missing      []string            `json:"missing"`    // what it still lacks while it is REQUESTED, in words
	PolicyDigest string              `json:"policy_digest"`
	EndedAt      *time.Time          `json:"ended_at"`  // when it was authorised or rejected
	RecordID     string              `json:"record_id"` // audit record of that
	RevokedAt    *time.Time          `json:"revoked_at"`
	RevokedBy    string              `json:"revoked_by"`
	RevokeReason string              `json:"revoke_reason"`
	UpdatedAt    time.Time           `json:"updated_at"`
	Revision     int64               `json:"revision"`
}

// ScopeChange is what may be changed of a draft; nil leaves a field. The zero time takes a
// bound away.
type ScopeChange struct {
	Platforms, Strategies *[]string
	NotBefore, NotAfter   *time.Time
	Rationale             *string
}

// releaseScope is what is signed, in the order of its canonical form.
type releaseScope struct {
	AuthorizationID string   `json:"authorization_id"`
	BaselineID      string   `json:"baseline_id"`
	ModelID         string   `json:"model_id"`
	ModelVersion    string   `json:"model_version"`
	NotAfter        string   `json:"not_after"`
	NotBefore       string   `json:"not_before"` // "" from the authorisation on
	Platforms       []string `json:"platforms"`
	PRRID           string   `json:"prr_id"`
	Rationale       string   `json:"rationale"`
	RequestedBy     string   `json:"requested_by"`
	RootDigest      string   `json:"root_digest"`
	SafetyLevel     string   `json:"safety_level"`
	Strategies      []string `json:"strategies"`
	V               int      `json:"v"` // 1
}

// shape is the part of a release authorisation that people state, checked.
func (a *ReleaseAuthorization) check() error {
	if len(a.Platforms) > maxPlatforms {
		return caos.Errorf(caos.TooLarge, "%d platforms, more than %d", len(a.Platforms), maxPlatforms).WithField("platforms")
	}
	if err := checkIDs("platforms", a.Platforms, maxPlatforms); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i, s := range a.Strategies {
		field := fmt.Sprintf("strategies[%d]", i)
		if err := caos.CheckWord(field, s, Strategies()); err != nil {
			return err
		}
		if seen[s] {
			return caos.Errorf(caos.Invalid, "%s is named twice", s).WithField(field).WithHint("name it once")
		}
		seen[s] = true
	}
	for field, t := range map[string]*time.Time{"not_before": a.NotBefore, "not_after": a.NotAfter} {
		if t != nil && (t.Year() < 2000 || t.Year() > 2199) {
			return caos.Errorf(caos.Invalid, "the year %d is out of reach", t.Year()).WithField(field).WithHint("a moment such as 2026-12-31T00:00:00Z")
		}
	}
	return checkText("rationale", a.Rationale)
}

// OpenAuthorization opens the draft that follows a review, or the next one of a version
// whose last was rejected, revoked or has expired. platforms are those planned so far.
// Opening again by the same execution changes nothing. Errors: Conflict naming the one that
// is open or in force.
func (r *Readiness) OpenAuthorization(tx *db.Tx, s Subject, prrID string, platforms []string, by By) (*ReleaseAuthorization, error) {
	if s.BaselineID == "" || prrID == "" {
		return nil, caos.Errorf(caos.Internal, "a release authorisation is about a baseline and rests on a review")
	}
	now := r.now()
	n := 0
	var last *ReleaseAuthorization
	err := tx.Query(`SELECT `+authorizationColumns+` FROM release_authorizations WHERE model_id = $1 AND version = $2 ORDER BY n DESC LIMIT 1`,
		[]any{s.ModelID, s.Version}, func(scan func(...any) error) (err error) {
			last, n, err = scanNumbered(scan)
			return err
		})
	if err != nil {
		return nil, err
	}
	if last != nil {
		if last.ExecutionID != "" && last.ExecutionID == by.Execution {
			return last, r.complete(within(tx), last)
		}
		switch last.at(now); last.Status {
		case AuthorizationDraft, AuthorizationRequested, AuthorizationAuthorised:
			return nil, caos.Errorf(caos.Conflict, "%s of %s is %s", last.AuthorizationID, versionKey(s), last.Status).WithRule("release-open").WithField("model_id").
				WithHint("see it with: caos release show %s", last.AuthorizationID)
		}
	}
	a := &ReleaseAuthorization{AuthorizationID: "REL-AUTH-" + s.ModelID + "-" + s.Version, Subject: s, PRRID: prrID, Status: AuthorizationDraft,
		Platforms: codec.Listed(platforms), Strategies: []string{}, OpenedAt: now, OpenedBy: by.Actor, ExecutionID: by.Execution,
		Requesters: involved(nil, by.Actor, by.recorder()), Approvals: []*Decision{}, Missing: []string{}, UpdatedAt: now, Revision: 1}
	if n++; n > 1 {
		a.AuthorizationID += "-" + strconv.Itoa(n)
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	tx.ExecOne(caos.Errorf(caos.Conflict, "another release authorisation of %s was opened just now", versionKey(s)).WithRule("release-open"),
		`INSERT INTO release_authorizations (authorization_id, model_id, version, n, baseline_id, root_digest, safety_level, prr_id, status, platforms, strategies,
			not_before, not_after, rationale, scope, scope_digest, opened_at, opened_by, execution_id, requested_at, requested_by, requesters, policy_digest,
			ended_at, record_id, revoked_at, revoked_by, revoke_reason, project, classification, updated_at, revision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'DRAFT', $9, '[]', 0, 0, '', '', '', $10, $11, $12, 0, '', $13, '', 0, '', 0, '', '', $14, $15, $16, 1)
		ON CONFLICT DO NOTHING`,
		a.AuthorizationID, s.ModelID, s.Version, n, s.BaselineID, s.RootDigest, s.SafetyLevel, prrID, codec.ListJSON(a.Platforms),
		now.UnixMicro(), a.OpenedBy, a.ExecutionID, codec.ListJSON(a.Requesters), s.Project, s.Classification, now.UnixMicro())
	return a, r.tellRelease(tx, a, by, "release authorisation opened")
}

func versionKey(s Subject) string { return s.ModelID + "@" + s.Version }

// involved adds people to those who had a part in something, sorted, each once.
func involved(list []string, people ...string) []string {
	out := slices.Clone(list)
	for _, p := range people {
		if p != "" && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// UpdateScope changes a draft. revision is the one that the caller saw, 0 for any.
func (r *Readiness) UpdateScope(tx *db.Tx, id string, c ScopeChange, revision int64, by By) (*ReleaseAuthorization, error) {
	a, err := r.AuthorizationIn(tx, id)
	if err != nil {
		return nil, err
	}
	if err := caos.CheckRevision(id, revision, a.Revision); err != nil {
		return nil, err
	}
	if a.Status != AuthorizationDraft {
		return nil, a.wrongState("its scope stands", AuthorizationDraft)
	}
	if c.Platforms != nil {
		a.Platforms = codec.Listed(*c.Platforms)
	}
	if c.Strategies != nil {
		a.Strategies = codec.Listed(*c.Strategies)
	}
	if c.NotBefore != nil {
		a.NotBefore = bound(*c.NotBefore)
	}
	if c.NotAfter != nil {
		a.NotAfter = bound(*c.NotAfter)
	}
	if c.Rationale != nil {
		a.Rationale = *c.Rationale
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	a.Requesters = involved(a.Requesters, by.Actor, by.recorder())
	r.store(tx, a)
	return a, r.tellRelease(tx, a, by, "scope of a release changed")
}

// bound is a moment as it is stored, nil for the zero time.
func bound(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Microsecond)
	return &t
}

// wrongState refuses what only an authorisation in another state takes.
func (a *ReleaseAuthorization) wrongState(why string, wants ...AuthorizationStatus) error {
	names := make([]string, len(wants))
	for i, w := range wants {
		names[i] = string(w)
	}
	return caos.Errorf(caos.Conflict, "%s is %s: %s", a.AuthorizationID, a.Status, why).WithField("authorization_id").WithRule("release-state").
		WithHint("only one that is %s takes this", strings.Join(names, " or "))
}

// Request fixes the scope of a draft and asks for the two approvals. p is who asks: they,
// and whoever could have acted in their stead, do not approve it.
func (r *Readiness) Request(tx *db.Tx, id string, p caos.Principal, by By) (*ReleaseAuthorization, error) {
	a, err := r.AuthorizationIn(tx, id)
	if err != nil {
		return nil, err
	}
	if a.Status != AuthorizationDraft {
		return nil, a.wrongState("it was requested already", AuthorizationDraft)
	}
	now := r.now()
	if err := a.whole(now); err != nil {
		return nil, err
	}
	a.Requesters = involved(a.Requesters, by.Actor, by.recorder(), p.ID, p.EnabledBy) // Barred adds who could have acted for them
	_, policy := verify.ShippedDecisionPolicy()
	a.Status, a.RequestedAt, a.RequestedBy, a.PolicyDigest = AuthorizationRequested, &now, by.Actor, policy.Digest()
	scope, err := codec.Canonical(a.scopeOf())
	if err != nil {
		return nil, fmt.Errorf("readiness: scope of %s: %w", id, err)
	}
	a.Scope = string(scope)
	a.ScopeDigest = verify.StatementHash(scope)
	r.store(tx, a)
	if err := r.announceRelease(tx, EventReleaseRequested, a); err != nil {
		return nil, err
	}
	return a, r.tellRelease(tx, a, by, "release requested")
}

// whole refuses to ask for a release whose scope says too little.
func (a *ReleaseAuthorization) whole(now time.Time) error {
	fix := "caos release scope " + a.AuthorizationID
	switch {
	case len(a.Platforms) == 0:
		return caos.Errorf(caos.Invalid, "no platform is named").WithField("platforms").WithRule(RuleReleaseScope).WithHint("%s --platform NAME", fix)
	case len(a.Strategies) == 0:
		return caos.Errorf(caos.Invalid, "no strategy is named").WithField("strategies").WithRule(RuleReleaseScope).WithHint("%s --strategy CANARY", fix)
	case a.NotAfter == nil:
		return caos.Errorf(caos.Invalid, "it does not say until when it holds").WithField("not_after").WithRule(RuleReleaseScope).WithHint("%s --until 2026-12-31", fix)
	case !a.NotAfter.After(now):
		return caos.Errorf(caos.Invalid, "its window ended at %s", caos.FormatTime(*a.NotAfter)).WithField("not_after").WithRule(RuleReleaseScope).WithHint("%s --until a later day", fix)
	case a.NotAfter.Sub(now) > maxWindow:
		return caos.Errorf(caos.Invalid, "its window ends in more than a year").WithField("not_after").WithRule(RuleReleaseScope).WithHint("ask again when it has expired")
	case a.NotBefore != nil && !a.NotBefore.Before(*a.NotAfter):
		return caos.Errorf(caos.Invalid, "its window ends before it begins").WithField("not_before").WithRule(RuleReleaseScope).WithHint("%s --from an earlier day", fix)
	case !says(a.Rationale):
		return caos.Errorf(caos.Invalid, "it does not say why").WithField("rationale").WithRule(RuleReleaseScope).WithHint("%s --rationale TEXT", fix)
	}
	return nil
}

func (a *ReleaseAuthorization) scopeOf() releaseScope {
	s := releaseScope{AuthorizationID: a.AuthorizationID, BaselineID: a.BaselineID, ModelID: a.ModelID, ModelVersion: a.Version, NotAfter: caos.FormatTime(*a.NotAfter),
		Platforms: a.Platforms, PRRID: a.PRRID, Rationale: a.Rationale, RequestedBy: a.RequestedBy, RootDigest: a.RootDigest, SafetyLevel: a.SafetyLevel,
		Strategies: a.Strategies, V: 1}
	if a.NotBefore != nil {
		s.NotBefore = caos.FormatTime(*a.NotBefore)
	}
	return s
}

// store writes a row that was read in this transaction.
func (r *Readiness) store(tx *db.Tx, a *ReleaseAuthorization) {
	before := a.Revision
	a.UpdatedAt, a.Revision = r.now(), before+1
	tx.ExecOne(caos.Errorf(caos.Conflict, "%s was changed meanwhile", a.AuthorizationID).WithField("revision").WithHint("read it again"),
		`UPDATE release_authorizations SET status = $1, platforms = $2, strategies = $3, not_before = $4, not_after = $5, rationale = $6, scope = $7, scope_digest = $8,
			requested_at = $9, requested_by = $10, requesters = $11, policy_digest = $12, ended_at = $13, record_id = $14, revoked_at = $15, revoked_by = $16,
			revoke_reason = $17, updated_at = $18, revision = $19 WHERE authorization_id = $20 AND revision = $21`,
		string(a.Status), codec.ListJSON(a.Platforms), codec.ListJSON(a.Strategies), db.Instant(a.NotBefore), db.Instant(a.NotAfter), a.Rationale, a.Scope, a.ScopeDigest,
		db.Instant(a.RequestedAt), a.RequestedBy, codec.ListJSON(a.Requesters), a.PolicyDigest, db.Instant(a.EndedAt), a.RecordID, db.Instant(a.RevokedAt), a.RevokedBy,
		a.RevokeReason, a.UpdatedAt.UnixMicro(), a.Revision, a.AuthorizationID, before)
}

// tellRelease keeps an edition of the row and records the change.
func (r *Readiness) tellRelease(tx *db.Tx, a *ReleaseAuthorization, by By, what string) error {
	if err := r.keep(tx, edition{Noun: nounRelease, Scope: a.BaselineID, ID: a.AuthorizationID, Revision: a.Revision, Body: a}); err != nil {
		return err
	}
	return r.record(tx, by, auditlog.Record{Type: auditlog.Authorisation, Resources: a.resources(), Project: a.Project, Classification: a.Classification,
		Details: map[string]any{"event": what, "authorization_id": a.AuthorizationID, "status": a.Status, "scope_digest": a.ScopeDigest, "requesters": a.Requesters}})
}

// nounRelease names editions of release authorisations.
const nounRelease = "release"

func (a *ReleaseAuthorization) resources() []string {
	return []string{a.AuthorizationID, a.ModelID, a.BaselineID, a.PRRID}
}

func (r *Readiness) announceRelease(tx *db.Tx, what string, a *ReleaseAuthorization) error {
	return r.events.Emit(tx, event.Event{Type: what, Subject: a.AuthorizationID, Project: a.Project, Classification: a.Classification, Data: map[string]any{
		"authorization_id": a.AuthorizationID, "model_id": a.ModelID, "model_version": a.Version, "baseline_id": a.BaselineID, "status": a.Status,
	}})
}
