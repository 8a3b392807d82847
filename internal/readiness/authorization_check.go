package readiness

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"caos"
)

// Deployment is what somebody wants to bring into production.
type Deployment struct {
	BaselineID string    `json:"baseline_id"`
	RootDigest string    `json:"root_digest"` // of the bytes that would be deployed
	Platforms  []string  `json:"platforms"`
	Strategy   string    `json:"strategy"` // see Strategies
	At         time.Time `json:"at"`
}

// Check is one condition of an authorisation, and whether a deployment meets it.
type Check struct {
	Rule    string `json:"rule"`
	Pass    bool   `json:"pass"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// Authorises says, condition by condition, whether a release authorisation allows a
// deployment. It is a pure function of its arguments: the page that explains an
// authorisation and whatever deploys ask the same one. a is as it is stored; expiry is
// judged by d.At, and an authorisation does not reach back before the moment it was given.
func Authorises(a *ReleaseAuthorization, d Deployment) []Check {
	var out []Check
	check := func(rule string, pass bool, good, bad, remedy string) {
		c := Check{Rule: rule, Pass: pass, Message: good}
		if !pass {
			c.Message, c.Remedy = bad, remedy
		}
		out = append(out, c)
	}
	given := a.EndedAt != nil && a.RevokedAt == nil && (a.Status == AuthorizationAuthorised || a.Status == AuthorizationExpired)
	check("release-authorised", given, a.AuthorizationID+" is authorised: "+signers(a), a.AuthorizationID+" is "+string(a.Status)+": "+a.why(), a.next())
	check("release-baseline", a.BaselineID == d.BaselineID && a.RootDigest == d.RootDigest && a.RootDigest != "",
		"it is for this baseline, "+a.BaselineID, fmt.Sprintf("it is for %s with the root digest %s, not %s with %s", a.BaselineID, a.RootDigest, d.BaselineID, d.RootDigest),
		"deploy the baseline that was authorised")
	var others []string
	for _, p := range d.Platforms {
		if !slices.Contains(a.Platforms, p) {
			others = append(others, p)
		}
	}
	check("release-platforms", len(others) == 0 && len(d.Platforms) > 0, "it is for "+strings.Join(d.Platforms, ", "),
		orText(len(d.Platforms) == 0, "no platform is named", "it is for "+strings.Join(a.Platforms, ", ")+", not for "+strings.Join(others, ", ")),
		"deploy to those platforms, or ask for another authorisation")
	check("release-strategy", slices.Contains(a.Strategies, d.Strategy), "it allows "+d.Strategy,
		"it allows "+orText(len(a.Strategies) == 0, "no strategy yet", strings.Join(a.Strategies, ", "))+", not "+d.Strategy, "choose one that is allowed")
	out = append(out, a.inWindow(d.At))
	return out
}

// inWindow checks the moment.
func (a *ReleaseAuthorization) inWindow(at time.Time) Check {
	c := Check{Rule: "release-window"}
	switch {
	case a.NotAfter == nil:
		c.Message, c.Remedy = "it has no window yet", a.next()
	case a.NotBefore != nil && at.Before(*a.NotBefore):
		c.Message, c.Remedy = "it begins at "+caos.FormatTime(*a.NotBefore), "wait until then"
	case a.EndedAt != nil && at.Before(*a.EndedAt):
		c.Message, c.Remedy = "it was given at "+caos.FormatTime(*a.EndedAt), "it does not reach back"
	case !at.Before(*a.NotAfter):
		c.Message, c.Remedy = "it expired at "+caos.FormatTime(*a.NotAfter), "ask for another authorisation"
	default:
		c.Pass, c.Message = true, "it holds until "+caos.FormatTime(*a.NotAfter)
	}
	return c
}

// signers names who approved it, and in which role.
func signers(a *ReleaseAuthorization) string {
	var out []string
	for _, d := range a.Approvals {
		out = append(out, d.Person+" ("+d.Role+")")
	}
	return strings.Join(out, ", ")
}

// why says why an authorisation is not in force.
func (a *ReleaseAuthorization) why() string {
	switch {
	case a.RevokedAt != nil:
		return a.RevokedBy + " revoked it: " + a.RevokeReason
	case a.Status == AuthorizationDraft:
		return "nobody has asked for it yet"
	case a.Status == AuthorizationRejected:
		return "it was rejected by " + signers(a)
	case a.Status == AuthorizationExpired:
		return "its window ended before it was approved"
	}
	return "it lacks " + strings.Join(a.Missing, " and ")
}

// next says what could be done.
func (a *ReleaseAuthorization) next() string {
	switch a.Status {
	case AuthorizationDraft:
		return fmt.Sprintf("give it a scope and ask for it: caos release scope %s, caos release request %s", a.AuthorizationID, a.AuthorizationID)
	case AuthorizationRequested:
		return "whoever it lacks decides: caos release approve " + a.AuthorizationID
	}
	return "ask for another authorisation: caos release open " + versionKey(a.Subject)
}

func orText(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}
