package caos

import (
	"slices"
	"time"
)

// Principal is who authenticated a request: a person or a service, by which credential,
// with which roles at that moment.
type Principal struct {
	ID        string   `json:"id"`                   // opaque user id; names live in one table
	Roles     []string `json:"roles"`                // sorted
	Token     string   `json:"token,omitempty"`      // id (not the value) of the API token used
	Project   string   `json:"project,omitempty"`    // the project the token is scoped to, "" for all
	MFA       string   `json:"mfa,omitempty"`        // "totp" when this very request carried a second factor
	EnabledBy string   `json:"enabled_by,omitempty"` // for a trigger's service identity: who switched it on
	Cause     *Cause   `json:"cause,omitempty"`      // what made a trigger submit; nil for everybody who authenticated
}

// The kinds of a Cause, which are those of triggers.
const (
	CauseEvent   = "EVENT"
	CauseCron    = "CRON"
	CauseWebhook = "WEBHOOK"
)

// Cause is what made a trigger submit. The trigger's own code alone sets it, from rows of the
// database: nothing that a request carries becomes a Cause, so that it can be believed.
type Cause struct {
	Trigger    string     `json:"trigger"`           // name
	Kind       string     `json:"kind"`              // CauseEvent, CauseCron or CauseWebhook
	Occurrence string     `json:"occurrence"`        // event id, nominal time as a stamp, webhook id
	Nominal    *time.Time `json:"nominal,omitempty"` // CauseCron: the schedule's time that had come
}

// CausedBy reports whether a trigger of one of the kinds submitted.
func (p Principal) CausedBy(kinds ...string) bool {
	return p.Cause != nil && slices.Contains(kinds, p.Cause.Kind)
}

// Has reports whether the principal holds a role.
func (p Principal) Has(role string) bool { return slices.Contains(p.Roles, role) }

// SystemPrincipal is CAOS itself: schedules, sweeps and steps that nobody asked for.
func SystemPrincipal() Principal { return Principal{ID: "caos", Roles: []string{"service"}} }

// Roles are the roles of the installation (DESIGN: security). A user holds any number.
func Roles() []string {
	return []string{
		"admin", "auditor", "certification", "chief-engineer", "configuration-manager",
		"data-engineer", "incident-responder", "mlops-engineer", "model-owner", "prr-board",
		"qa-lead", "release-manager", "safety-engineer", "service", "vv-lead",
	}
}

// Finding is something a gate or a check has to say: which rule, about what, and what
// would clear it.
type Finding struct {
	Rule    string `json:"rule"`
	Message string `json:"message"`
	Subject string `json:"subject,omitempty"` // id of what the finding is about
	Remedy  string `json:"remedy,omitempty"`  // what to do, and who could
}
