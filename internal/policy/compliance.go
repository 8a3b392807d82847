package policy

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	cedar "github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"caos"
)

// The two answers of the specification's compliance_status.
const (
	Compliant      = "COMPLIANT"
	ReviewRequired = "REVIEW_REQUIRED"
)

// Facts are what is known about one audit report when it is recorded.
type Facts struct {
	ActionType           string   // MODEL_FREEZE, DEPLOYMENT, ROLLBACK or CONFIG_CHANGE
	Actor                string   // as stated
	ActorKnown           bool     // an account of this installation
	ActorEnabled         bool     // and it was enabled
	OnBehalf             bool     // actor and authenticated sender differ
	OnBehalfPermitted    bool     // the sender may name another actor
	Resources            []string // as stated
	ResourcesUnknown     []string // those this installation does not know
	Authorization        string   // as stated, "" for none
	AuthorizationKnown   bool
	AuthorizationMatches bool     // it covers this action on these resources and is in force
	AuthorisedBy         []string // who gave it
	AgeSeconds           int64    // server's time minus the stated time
}

// Compliance evaluates the compliance policies over the facts of a report: COMPLIANT, or
// REVIEW_REQUIRED with one finding per policy that applies, the most severe first. A policy
// that fails to evaluate is a finding too.
func (s *Set) Compliance(f Facts) (status string, findings []caos.Finding) {
	act := s.actions[reportName]
	values := f.values()
	fields, err := convert(act.context, values)
	if err != nil {
		return ReviewRequired, []caos.Finding{{Rule: RuleSchema, Message: "the compliance policies could not be asked: " + err.Error()}}
	}
	sender := s.NewSubject(caos.Principal{ID: f.Actor}, Standing{})
	w := world{
		subject:  sender,
		resource: types.Entity{UID: types.NewEntityUID(reportType, "report"), Attributes: s.records.attributes(Attributes{Owner: f.Actor})},
		action:   act,
	}
	_, diag := cedar.Authorize(act.policies, &w, cedar.Request{
		Principal: sender.uid, Action: act.entity.UID, Resource: w.resource.UID, Context: types.NewRecord(fields),
	})
	for _, e := range diag.Errors {
		findings = append(findings, caos.Finding{
			Rule: string(e.PolicyID), Message: "the policy failed to evaluate: " + e.Message,
			Remedy: "whoever maintains the policies corrects it",
		})
	}
	hits := make([]*rule, 0, len(diag.Reasons))
	for _, reason := range diag.Reasons {
		hits = append(hits, s.byID[reason.PolicyID])
	}
	slices.SortStableFunc(hits, func(a, b *rule) int { return rank(b.Severity) - rank(a.Severity) })
	for _, r := range hits {
		findings = append(findings, caos.Finding{Rule: r.ID, Message: r.Reason, Subject: about(values, f, r.subject), Remedy: r.remedy})
	}
	if len(findings) == 0 {
		return Compliant, nil
	}
	return ReviewRequired, findings
}

// Severity returns the @severity of a compliance policy, "" for any other rule.
func (s *Set) Severity(rule string) string {
	if r, ok := s.byID[types.PolicyID(rule)]; ok {
		return r.Severity
	}
	return ""
}

func (f Facts) values() map[string]any {
	return map[string]any{
		"action_type":           f.ActionType,
		"actor":                 f.Actor,
		"actor_known":           f.ActorKnown,
		"actor_enabled":         f.ActorEnabled,
		"on_behalf":             f.OnBehalf,
		"on_behalf_permitted":   f.OnBehalfPermitted,
		"resources_named":       len(f.Resources),
		"resources_unknown":     f.ResourcesUnknown,
		"authorization":         f.Authorization,
		"authorization_known":   f.AuthorizationKnown,
		"authorization_matches": f.AuthorizationMatches,
		"authorised_by":         f.AuthorisedBy,
		"age_seconds":           f.AgeSeconds,
	}
}

// about writes the fact that a finding is about.
func about(values map[string]any, f Facts, subject string) string {
	if subject == "resources" {
		if len(f.ResourcesUnknown) > 0 {
			return strings.Join(f.ResourcesUnknown, " ")
		}
		return strings.Join(f.Resources, " ")
	}
	switch v := values[subject].(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case []string:
		return strings.Join(v, " ")
	}
	return ""
}

func rank(severity string) int {
	return slices.Index([]string{"LOW", "MEDIUM", "HIGH", "CRITICAL"}, severity)
}

// Rules lists the compliance policies' ids, sorted.
func (s *Set) Rules() []string {
	ids := make(map[string]bool)
	for _, r := range s.rules {
		if r.Severity != "" {
			ids[r.ID] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}
