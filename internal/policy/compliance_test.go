package policy

import (
	"slices"
	"testing"
)

// clean is a report with nothing to find.
func clean() Facts {
	return Facts{
		ActionType: "DEPLOYMENT", Actor: "person-a", ActorKnown: true, ActorEnabled: true,
		Resources: []string{"NN-FCS-001"}, Authorization: "AUTH-001", AuthorizationKnown: true, AuthorizationMatches: true,
		AuthorisedBy: []string{"person-b"}, AgeSeconds: 3,
	}
}

func TestCompliance(t *testing.T) {
	s := loaded(t)
	seen := map[string]bool{}
	for name, tc := range map[string]struct {
		change func(*Facts)
		want   []string
	}{
		"clean":                 {func(f *Facts) {}, nil},
		"permitted on behalf":   {func(f *Facts) { f.OnBehalf, f.OnBehalfPermitted = true, true }, nil},
		"clocks differ a bit":   {func(f *Facts) { f.AgeSeconds = -119 }, nil},
		"one day old":           {func(f *Facts) { f.AgeSeconds = 86400 }, nil},
		"actor unknown":         {func(f *Facts) { f.ActorKnown = false }, []string{"actor-unknown"}},
		"actor disabled":        {func(f *Facts) { f.ActorEnabled = false }, []string{"actor-disabled"}},
		"on behalf":             {func(f *Facts) { f.OnBehalf = true }, []string{"on-behalf-without-permission"}},
		"no resources":          {func(f *Facts) { f.Resources = nil }, []string{"no-resources"}},
		"unknown resource":      {func(f *Facts) { f.ResourcesUnknown = []string{"NN-X-001"} }, []string{"resource-unknown"}},
		"nothing authorised it": {func(f *Facts) { f.Authorization, f.AuthorizationKnown, f.AuthorizationMatches = "", false, false }, []string{"no-authorisation"}},
		"rollback without": {func(f *Facts) {
			f.ActionType, f.Authorization, f.AuthorizationKnown, f.AuthorizationMatches = "ROLLBACK", "", false, false
		}, []string{"rollback-without-authorisation"}},
		"authorisation unknown":  {func(f *Facts) { f.AuthorizationKnown, f.AuthorizationMatches = false, false }, []string{"authorisation-unknown"}},
		"authorisation of other": {func(f *Facts) { f.AuthorizationMatches = false }, []string{"authorisation-mismatch"}},
		"authorised oneself":     {func(f *Facts) { f.AuthorisedBy = []string{"person-b", "person-a"} }, []string{"self-authorised"}},
		"future":                 {func(f *Facts) { f.AgeSeconds = -121 }, []string{"timestamp-in-the-future"}},
		"stale":                  {func(f *Facts) { f.AgeSeconds = 86401 }, []string{"timestamp-stale"}},
		"everything": {func(f *Facts) { *f = Facts{ActionType: "ROLLBACK", OnBehalf: true, AgeSeconds: 1 << 40} }, []string{
			"rollback-without-authorisation", "actor-unknown", "on-behalf-without-permission", "no-resources", "timestamp-stale"}},
	} {
		f := clean()
		tc.change(&f)
		status, findings := s.Compliance(f)
		var got []string
		for _, x := range findings {
			got = append(got, x.Rule)
			seen[x.Rule] = true
			if x.Message == "" || x.Remedy == "" {
				t.Errorf("%s: finding %+v lacks a message or a remedy", name, x)
			}
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
		if (status == Compliant) != (len(tc.want) == 0) {
			t.Errorf("%s: status %s", name, status)
		}
	}
	for _, id := range s.Rules() {
		if !seen[id] {
			t.Errorf("compliance policy %s has no test", id)
		}
	}
}

func TestFindingNamesItsSubject(t *testing.T) {
	s := loaded(t)
	f := clean()
	f.ResourcesUnknown = []string{"NN-X-001", "NN-Y-001"}
	_, findings := s.Compliance(f)
	if findings[0].Subject != "NN-X-001 NN-Y-001" {
		t.Errorf("subject %q", findings[0].Subject)
	}
	if s.Severity(findings[0].Rule) != "MEDIUM" || s.Severity("step-up") != "" {
		t.Error("severity")
	}
}
