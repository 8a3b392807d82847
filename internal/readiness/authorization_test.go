package readiness

import (
	"slices"
	"strings"
	"testing"
	"time"

	"caos/internal/verify"
)

func inForce() *ReleaseAuthorization {
	given, after := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	return &ReleaseAuthorization{AuthorizationID: "REL-AUTH-NN-FCS-001-2.1.0", Status: AuthorizationAuthorised,
		Subject:   Subject{ModelID: "NN-FCS-001", Version: "2.1.0", BaselineID: "BL-FCS-2.1.0", RootDigest: "SHA256:00"},
		Platforms: []string{"orin", "xavier"}, Strategies: []string{"CANARY"}, EndedAt: &given, NotAfter: &after,
		Approvals: []*Decision{{Person: "chief", Role: "chief-engineer"}, {Person: "quality", Role: "qa-lead"}}, Missing: []string{}}
}

func TestAuthorises(t *testing.T) {
	good := Deployment{BaselineID: "BL-FCS-2.1.0", RootDigest: "SHA256:00", Platforms: []string{"orin"}, Strategy: "CANARY", At: time.Date(2026, 5, 2, 0, 0, 0, 0, time.UTC)}
	early := time.Date(2026, 5, 10, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		to   func(a *ReleaseAuthorization, d *Deployment)
		says []string // rules that do not hold
	}{
		{"as it was authorised", func(*ReleaseAuthorization, *Deployment) {}, nil},
		{"both platforms", func(_ *ReleaseAuthorization, d *Deployment) { d.Platforms = []string{"xavier", "orin"} }, nil},
		{"another platform too", func(_ *ReleaseAuthorization, d *Deployment) { d.Platforms = []string{"orin", "versal"} }, []string{"release-platforms"}},
		{"no platform", func(_ *ReleaseAuthorization, d *Deployment) { d.Platforms = nil }, []string{"release-platforms"}},
		{"another strategy", func(_ *ReleaseAuthorization, d *Deployment) { d.Strategy = "ROLLING" }, []string{"release-strategy"}},
		{"no strategy", func(_ *ReleaseAuthorization, d *Deployment) { d.Strategy = "" }, []string{"release-strategy"}},
		{"another baseline", func(_ *ReleaseAuthorization, d *Deployment) { d.BaselineID = "BL-FCS-2.0.0" }, []string{"release-baseline"}},
		{"other bytes", func(_ *ReleaseAuthorization, d *Deployment) { d.RootDigest = "SHA256:01" }, []string{"release-baseline"}},
		{"no bytes at all", func(a *ReleaseAuthorization, d *Deployment) { a.RootDigest, d.RootDigest = "", "" }, []string{"release-baseline"}},
		{"the last moment", func(a *ReleaseAuthorization, d *Deployment) { d.At = a.NotAfter.Add(-time.Microsecond) }, nil},
		{"at the end", func(a *ReleaseAuthorization, d *Deployment) { d.At = *a.NotAfter }, []string{"release-window"}},
		{"read when it had expired", func(a *ReleaseAuthorization, d *Deployment) { a.Status, d.At = AuthorizationExpired, *a.NotAfter }, []string{"release-window"}},
		{"before it begins", func(a *ReleaseAuthorization, _ *Deployment) { a.NotBefore = &early }, []string{"release-window"}},
		{"before it was given", func(a *ReleaseAuthorization, d *Deployment) { d.At = a.EndedAt.Add(-time.Microsecond) }, []string{"release-window"}},
		{"revoked", func(a *ReleaseAuthorization, d *Deployment) { a.Status, a.RevokedAt = AuthorizationRevoked, &d.At }, []string{"release-authorised"}},
		{"rejected", func(a *ReleaseAuthorization, _ *Deployment) { a.Status = AuthorizationRejected }, []string{"release-authorised"}},
		{"asked for alone", func(a *ReleaseAuthorization, _ *Deployment) { a.Status, a.EndedAt = AuthorizationRequested, nil }, []string{"release-authorised"}},
		{"never approved in its window", func(a *ReleaseAuthorization, _ *Deployment) { a.Status, a.EndedAt = AuthorizationExpired, nil }, []string{"release-authorised"}},
		{"a draft", func(a *ReleaseAuthorization, _ *Deployment) {
			a.Status, a.EndedAt, a.NotAfter, a.Strategies = AuthorizationDraft, nil, nil, nil
		}, []string{"release-authorised", "release-strategy", "release-window"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, d := inForce(), good
			c.to(a, &d)
			var says []string
			for _, k := range Authorises(a, d) {
				if k.Message == "" || k.Pass == (k.Remedy != "") {
					t.Errorf("%s says %q, remedy %q", k.Rule, k.Message, k.Remedy)
				}
				if !k.Pass {
					says = append(says, k.Rule)
				}
			}
			if !slices.Equal(says, c.says) {
				t.Errorf("what does not hold is %v, want %v", says, c.says)
			}
		})
	}
}

func TestApprovalSaysWhatIsSigned(t *testing.T) {
	a := inForce()
	for _, outcome := range []string{verify.OutcomeApproved, verify.OutcomeRejected} {
		act := a.approval("chief-engineer", outcome)
		for _, want := range []string{"chief-engineer", "BL-FCS-2.1.0", "orin, xavier", "CANARY", "2026-06-01T00:00:00.000000Z"} {
			if !strings.Contains(act.Meaning, want) {
				t.Errorf("%q does not say %s", act.Meaning, want)
			}
		}
	}
	for i := range maxPlatforms {
		a.Platforms = append(a.Platforms, strings.Repeat("p", 150)+string(rune('a'+i%26)))
	}
	if n := len(a.approval("qa-lead", verify.OutcomeApproved).Meaning); n > maxMeaning {
		t.Errorf("the meaning has %d bytes", n)
	}
}
