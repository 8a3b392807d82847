package policy

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cedar-policy/cedar-go/types"
	"pgregory.net/rapid"

	"caos"
)

func ask(s *Set, p caos.Principal, st Standing, r Request) Decision {
	r.Subject = s.NewSubject(p, st)
	return s.Decide(r)
}

func TestGuards(t *testing.T) {
	s := loaded(t)
	me := func(mfa bool, roles ...string) caos.Principal {
		p := caos.Principal{ID: "me", Roles: roles}
		if mfa {
			p.MFA = "totp"
		}
		return p
	}
	grant := func(role string, held ...string) Request {
		return Request{Action: "role:grant", ResourceType: "Account", Resource: "other", Attrs: Attributes{Owner: "other"},
			Context: map[string]any{"role": role, "held": held}}
	}
	item := func(action, kind string, a Attributes) Request {
		return Request{Action: action, ResourceType: kind, Resource: "X-1", Attrs: a}
	}
	alpha := Standing{Scoped: true, Projects: []string{"alpha"}}
	submit := func(a Attributes) Request {
		return Request{Action: "hook:submit", ResourceType: "Hook", Resource: "CAOS.PROD.CERT.AUDIT", Attrs: a}
	}
	freeze := func(a Attributes) Request {
		return Request{Action: "hook:submit", ResourceType: "Hook", Resource: "CAOS.PROD.MODEL.FREEZE", Attrs: a}
	}
	doc := func(action string, a Attributes, context map[string]any) Request {
		return Request{Action: action, ResourceType: "Document", Resource: "95-00-07-00-001", Attrs: a, Context: context}
	}
	for _, tc := range []struct {
		name string
		p    caos.Principal
		st   Standing
		r    Request
		want string // "allow", "step-up" or the first rule that refuses
	}{
		{"no MFA", me(false, "admin"), Standing{}, item("user:create", "Account", Attributes{Owner: "new"}), "step-up"},
		{"MFA", me(true, "admin"), Standing{}, item("user:create", "Account", Attributes{Owner: "new"}), "allow"},
		{"MFA does not replace a role", me(true, "auditor"), Standing{}, item("user:create", "Account", Attributes{Owner: "new"}), "deny-by-default"},
		{"no role and no MFA is no step-up", me(false, "auditor"), Standing{}, item("user:create", "Account", Attributes{Owner: "new"}), "deny-by-default"},
		{"service never", me(true, "service", "admin"), Standing{}, item("user:create", "Account", Attributes{Owner: "new"}), "services-do-nothing-sensitive"},
		{"self grant", me(true, "admin"), Standing{}, Request{Action: "role:grant", ResourceType: "Account", Resource: "me",
			Attrs: Attributes{Owner: "me"}, Context: map[string]any{"role": "auditor", "held": []string{}}}, "no-self-service-power"},
		{"self grant at the route is open", me(true, "admin"), Standing{}, Request{Action: "role:grant", ResourceType: "Account",
			Attrs: Attributes{Owner: "me", Collection: true}}, "allow"},
		{"grant", me(true, "admin"), Standing{}, grant("data-engineer"), "allow"},
		{"admin+qa", me(true, "admin"), Standing{}, grant("qa-lead", "admin"), "separation-admin"},
		{"qa+admin", me(true, "admin"), Standing{}, grant("admin", "qa-lead"), "separation-admin"},
		{"admin+mlops", me(true, "admin"), Standing{}, grant("mlops-engineer", "admin"), "allow"},
		{"ce+qa", me(true, "admin"), Standing{}, grant("chief-engineer", "qa-lead"), "separation-release"},
		{"qa+ce", me(true, "admin"), Standing{}, grant("qa-lead", "chief-engineer"), "separation-release"},
		{"auditor+x", me(true, "admin"), Standing{}, grant("auditor", "data-engineer"), "separation-auditor"},
		{"x+auditor", me(true, "admin"), Standing{}, grant("data-engineer", "auditor"), "separation-auditor"},
		{"auditor again", me(true, "admin"), Standing{}, grant("auditor", "auditor"), "allow"},
		{"service+x", me(true, "admin"), Standing{}, grant("service", "data-engineer"), "separation-service"},
		{"x+service", me(true, "admin"), Standing{}, grant("data-engineer", "service"), "separation-service"},
		{"own project", me(false, "certification"), alpha, item("evidence:read", "Evidence", Attributes{Project: "alpha"}), "allow"},
		{"other project", me(false, "certification"), alpha, item("evidence:read", "Evidence", Attributes{Project: "beta"}), "need-to-know-project"},
		{"no project", me(false, "certification"), alpha, item("evidence:read", "Evidence", Attributes{}), "need-to-know-project"},
		{"own thing, other project", me(false, "certification"), alpha, item("evidence:read", "Evidence", Attributes{Project: "beta", Owner: "me"}), "need-to-know-project"},
		{"collection", me(false, "certification"), alpha, item("evidence:read", "Evidence", Attributes{Collection: true}), "allow"},
		{"scoped to nothing", me(false, "certification"), Standing{Scoped: true}, item("evidence:read", "Evidence", Attributes{Project: "alpha"}), "need-to-know-project"},
		{"submission, no project yet", me(false, "service"), alpha, submit(Attributes{}), "allow"},
		{"submission, other project", me(false, "service"), alpha, submit(Attributes{Project: "beta"}), "need-to-know-submission"},
		{"submission, classified", me(false, "service"), alpha, submit(Attributes{Project: "alpha", Classification: "Restricted"}), "need-to-know-classification"},
		{"internal", me(false, "certification"), Standing{}, item("evidence:read", "Evidence", Attributes{Classification: "Internal"}), "allow"},
		{"restricted", me(false, "certification"), Standing{}, item("evidence:read", "Evidence", Attributes{Classification: "Restricted"}), "need-to-know-classification"},
		{"regulated, cleared for restricted", me(false, "certification"), Standing{Clearances: []string{"Restricted"}}, item("evidence:read", "Evidence", Attributes{Classification: "Regulated"}), "need-to-know-classification"},
		{"regulated, cleared", me(false, "certification"), Standing{Clearances: []string{"Regulated"}}, item("evidence:read", "Evidence", Attributes{Classification: "Regulated"}), "allow"},
		{"word unknown", me(false, "certification"), Standing{}, item("evidence:read", "Evidence", Attributes{Classification: "restricted"}), "need-to-know-classification"},
		{"countersign own", me(true, "qa-lead"), Standing{}, item("key:countersign", "Key", Attributes{Owner: "me"}), "separation-of-duties"},
		{"countersign as a party", me(true, "qa-lead"), Standing{}, item("key:countersign", "Key", Attributes{Owner: "other", Parties: []string{"x", "me"}}), "separation-of-duties"},
		{"countersign", me(true, "qa-lead"), Standing{}, item("key:countersign", "Key", Attributes{Owner: "other", Parties: []string{"x"}}), "allow"},
		{"countersign without MFA", me(false, "qa-lead"), Standing{}, item("key:countersign", "Key", Attributes{Owner: "other"}), "step-up"},
		{"countersign own without MFA", me(false, "qa-lead"), Standing{}, item("key:countersign", "Key", Attributes{Owner: "me"}), "separation-of-duties"},
		{"decide own", me(true, "qa-lead"), Standing{}, item("execution:decide", "Execution", Attributes{Owner: "me"}), "separation-of-duties"},
		{"decide own document", me(true, "qa-lead"), Standing{}, doc("document:decide", Attributes{Owner: "me"}, map[string]any{"kind": "design"}), "separation-of-duties"},
		{"decide a document on one's own model", me(true, "qa-lead"), Standing{}, doc("document:decide", Attributes{Owner: "x", Parties: []string{"me"}}, map[string]any{"kind": "design"}), "separation-of-duties"},
		{"decide without MFA", me(false, "qa-lead"), Standing{}, doc("document:decide", Attributes{Owner: "x"}, map[string]any{"kind": "design"}), "step-up"},
		{"quality decides no safety", me(true, "qa-lead"), Standing{}, doc("document:decide", Attributes{Owner: "x"}, map[string]any{"kind": "safety-assessment"}), "deny-by-default"},
		{"safety decides nothing else", me(true, "safety-engineer"), Standing{}, doc("document:decide", Attributes{Owner: "x"}, map[string]any{"kind": "documentation-review"}), "deny-by-default"},
		{"decide a document, kind not stated", me(true, "qa-lead"), Standing{}, doc("document:decide", Attributes{Owner: "x"}, nil), "deny-by-default"},
		{"V&V report", me(false, "vv-lead"), Standing{}, doc("document:register", Attributes{Owner: "me"}, map[string]any{"kind": "vv-report", "model_owner": "x"}), "allow"},
		{"V&V report of one's own model", me(false, "vv-lead", "model-owner"), Standing{}, doc("document:register", Attributes{Owner: "me"}, map[string]any{"kind": "vv-report", "model_owner": "me"}), "vv-report-by-another"},
		{"V&V report of a model that was one's own", me(false, "vv-lead"), Standing{}, doc("document:register", Attributes{Owner: "me", Parties: []string{"x", "me"}}, map[string]any{"kind": "vv-report", "model_owner": "x"}), "vv-report-by-another"},
		{"V&V report by another role", me(false, "configuration-manager"), Standing{}, doc("document:register", Attributes{Owner: "me"}, map[string]any{"kind": "vv-report", "model_owner": "x"}), "vv-report-by-vv-lead"},
		{"design of one's own model", me(false, "model-owner"), Standing{}, doc("document:register", Attributes{Owner: "me"}, map[string]any{"kind": "design", "model_owner": "me"}), "allow"},
		{"document of another project", me(false, "vv-lead"), alpha, doc("document:register", Attributes{Owner: "me", Project: "beta"}, map[string]any{"kind": "design"}), "need-to-know-project"},
		{"model of another", me(false, "model-owner"), Standing{}, item("model:update", "Model", Attributes{Owner: "x"}), "deny-by-default"},
		{"own model", me(false, "model-owner"), Standing{}, item("model:update", "Model", Attributes{Owner: "me"}), "allow"},
		{"own model, Restricted", me(false, "model-owner"), Standing{}, item("model:update", "Model", Attributes{Owner: "me", Classification: "Restricted"}), "need-to-know-classification"},
		{"own model, declassified", me(false, "model-owner", "configuration-manager"), Standing{}, Request{Action: "model:update", ResourceType: "Model", Resource: "NN-X-1", Attrs: Attributes{Owner: "me"},
			Context: map[string]any{"declassifies": true}}, "declassify-by-another"},
		{"another's model, declassified", me(false, "configuration-manager"), Standing{}, Request{Action: "model:update", ResourceType: "Model", Resource: "NN-X-1", Attrs: Attributes{Owner: "x"},
			Context: map[string]any{"declassifies": true}}, "allow"},
		{"dataset by its engineer", me(false, "data-engineer"), Standing{}, Request{Action: "model:artifact", ResourceType: "Model", Resource: "NN-X-1", Attrs: Attributes{Owner: "x"},
			Context: map[string]any{"role": "training-dataset"}}, "allow"},
		{"weights by a data engineer", me(false, "data-engineer"), Standing{}, Request{Action: "model:artifact", ResourceType: "Model", Resource: "NN-X-1", Attrs: Attributes{Owner: "x"},
			Context: map[string]any{"role": "weights"}}, "deny-by-default"},
		{"close own problem", me(false, "qa-lead"), Standing{}, item("problem:close", "Problem", Attributes{Owner: "me"}), "separation-of-duties"},
		{"close own change", me(false, "qa-lead"), Standing{}, item("change:close", "Change", Attributes{Owner: "x", Parties: []string{"me"}}), "separation-of-duties"},
		{"freeze without MFA", me(false, "model-owner"), Standing{}, freeze(Attributes{}), "step-up"},
		{"freeze", me(true, "model-owner"), Standing{}, freeze(Attributes{}), "allow"},
		{"freeze without a role", me(false, "vv-lead"), Standing{}, freeze(Attributes{}), "deny-by-default"},
		{"freeze of another project", me(true, "model-owner"), alpha, freeze(Attributes{Project: "beta"}), "need-to-know-submission"},
		{"token for a person with one", me(true, "admin"), Standing{}, Request{Action: "token:create", ResourceType: "Token", Resource: "T", Attrs: Attributes{Owner: "other"},
			Context: map[string]any{"holder": "person", "first": false}}, "tokens-for-others"},
		{"first token", me(true, "admin"), Standing{}, Request{Action: "token:create", ResourceType: "Token", Resource: "T", Attrs: Attributes{Owner: "other"},
			Context: map[string]any{"holder": "person", "first": true}}, "allow"},
		{"service token", me(true, "admin"), Standing{}, Request{Action: "token:create", ResourceType: "Token", Resource: "T", Attrs: Attributes{Owner: "other"},
			Context: map[string]any{"holder": "service", "first": false}}, "allow"},
		{"unknown action", me(true, "admin"), Standing{}, item("user:erase", "Account", Attributes{}), RuleSchema},
		{"group is no action", me(true, "admin"), Standing{}, item("sensitive", "Account", Attributes{}), RuleSchema},
		{"unknown type", me(true, "admin"), Standing{}, item("user:create", "Person", Attributes{}), RuleSchema},
		{"action on another type", me(true, "admin"), Standing{}, item("user:create", "Hook", Attributes{}), RuleSchema},
		{"unknown context", me(true, "admin"), Standing{}, Request{Action: "role:grant", ResourceType: "Account", Context: map[string]any{"rol": "x"}}, RuleSchema},
		{"wrong context type", me(true, "admin"), Standing{}, Request{Action: "role:grant", ResourceType: "Account", Context: map[string]any{"role": 3}}, RuleSchema},
		{"mfa cannot be claimed in the context", me(false, "admin"), Standing{}, Request{Action: "role:grant", ResourceType: "Account", Attrs: Attributes{Owner: "xx"},
			Context: map[string]any{"mfa": true, "role": "vv-lead", "held": []string{}}}, "step-up"},
	} {
		d := ask(s, tc.p, tc.st, tc.r)
		got := d.Rule()
		switch {
		case d.Allow:
			got = "allow"
		case d.StepUp:
			got = "step-up"
		}
		if got != tc.want {
			t.Errorf("%s: got %s %v, want %s", tc.name, got, d.Policies, tc.want)
		}
		if len(d.Policies) == 0 || len(d.Policies) != len(d.Reasons) {
			t.Errorf("%s: policies %v and reasons %v", tc.name, d.Policies, d.Reasons)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	ok := `@id("xx") @reason("r") `
	for name, tc := range map[string]struct{ text, want string }{
		"no id":                       {`@reason("r") forbid (principal, action, resource);`, "@id"},
		"odd id":                      {`@id("X y") @reason("r") forbid (principal, action, resource);`, "@id"},
		"no reason":                   {`@id("xx") forbid (principal, action, resource);`, "@reason"},
		"used id":                     {`@id("step-up") @reason("r") forbid (principal, action, resource) when { principal.scoped };`, "used twice"},
		"unknown annotation":          {ok + `@sevrity("HIGH") forbid (principal, action, resource);`, "@sevrity"},
		"unknown attribute":           {ok + `forbid (principal, action, resource) when { principal.scopd };`, "scopd"},
		"unknown resource attribute":  {ok + `forbid (principal, action == Action::"user:read", resource) when { resource.proj == "" };`, "proj"},
		"unknown context":             {ok + `forbid (principal, action, resource) when { context.maf };`, "maf"},
		"unknown action":              {ok + `forbid (principal, action == Action::"user:erase", resource);`, "user:erase"},
		"unknown role":                {ok + `permit (principal in Role::"root", action == Action::"user:read", resource);`, "root"},
		"unknown role in a condition": {ok + `permit (principal, action == Action::"user:read", resource) when { principal in [Role::"admin", Role::"root"] };`, "root"},
		"unknown type":                {ok + `permit (principal, action == Action::"user:read", resource is Person);`, "Person"},
		"wrong type":                  {ok + `forbid (principal, action, resource) when { principal.scoped == "yes" };`, "xx"},
		"not a boolean":               {ok + `forbid (principal, action, resource) when { principal.id };`, "xx"},
		"optional unguarded":          {ok + `forbid (principal, action == Action::"role:grant", resource) when { context.role == "admin" };`, "role"},
		"permit everything":           {ok + `permit (principal, action, resource);`, "name its actions"},
		"severity elsewhere":          {ok + `@severity("HIGH") forbid (principal, action == Action::"user:read", resource);`, "@severity"},
		"compliance permit":           {ok + `permit (principal, action == Action::"compliance:report", resource);`, "compliance"},
		"compliance severity":         {ok + `@severity("BAD") forbid (principal, action == Action::"compliance:report", resource);`, "@severity"},
		"compliance subject":          {ok + `@severity("LOW") @subject("actr") forbid (principal, action == Action::"compliance:report", resource);`, "@subject"},
		"compliance by set":           {ok + `forbid (principal, action in [Action::"compliance:report"], resource);`, "nothing else"},
		"syntax":                      {ok + `forbid (principal, action, resource`, "x.cedar"},
		"too large":                   {strings.Repeat("// x\n", maxFile/5+1), "at most"},
	} {
		_, err := Load(fstest.MapFS{"x.cedar": {Data: []byte(tc.text)}})
		if err == nil {
			t.Errorf("%s: loaded", name)
		} else if !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %q does not mention %q", name, err, tc.want)
		}
	}
}

// An operator may permit more and forbid more; the guards stay.
func TestOperatorFolder(t *testing.T) {
	s, err := Load(fstest.MapFS{
		"more.cedar": {Data: []byte(`
			@id("our-owners-upload") @reason("our owners bring evidence")
			permit (principal in Role::"model-owner", action == Action::"evidence:upload", resource);
			@id("our-freeze") @reason("no uploads to project zeta")
			forbid (principal, action == Action::"evidence:upload", resource) when { resource.project == "zeta" };
			@id("our-grants") @reason("owners grant roles")
			permit (principal in Role::"model-owner", action == Action::"role:grant", resource);`)},
		"notes.txt": {Data: []byte("not a policy")},
	})
	if err != nil {
		t.Fatal(err)
	}
	base := loaded(t)
	if s.Digest() == base.Digest() || len(s.List()) != len(base.List())+3 {
		t.Error("the folder's policies are not part of the set")
	}
	owner := caos.Principal{ID: "me", Roles: []string{"model-owner"}}
	up := Request{Action: "evidence:upload", ResourceType: "Evidence", Resource: "E"}
	if !ask(s, owner, Standing{}, up).Allow || ask(base, owner, Standing{}, up).Allow {
		t.Error("the operator's permit should be what allows it")
	}
	up.Attrs.Project = "zeta"
	if d := ask(s, owner, Standing{}, up); d.Allow || d.Rule() != "our-freeze" {
		t.Errorf("got %+v", d)
	}
	self := Request{Action: "role:grant", ResourceType: "Account", Resource: "me", Attrs: Attributes{Owner: "me"}}
	owner.MFA = "totp"
	if d := ask(s, owner, Standing{}, self); d.Allow || d.Rule() != "no-self-service-power" {
		t.Errorf("got %+v", d)
	}
}

// A forbid that errs would be skipped by Cedar; here it denies. Overflow is an error that
// no schema can rule out.
func TestEvaluationErrorDenies(t *testing.T) {
	s, err := Load(fstest.MapFS{"x.cedar": {Data: []byte(`
		@id("overflows") @reason("r")
		forbid (principal, action == Action::"hook:read", resource)
		when { 9223372036854775807 + (if resource.owner == "boom" then 1 else 0) < 0 };
		@id("late") @reason("r") @severity("LOW") @subject("age_seconds")
		forbid (principal, action == Action::"compliance:report", resource) when { context.age_seconds * 10 > 0 };`)}})
	if err != nil {
		t.Fatal(err)
	}
	p := caos.Principal{ID: "me", Roles: []string{"auditor"}}
	r := Request{Action: "hook:read", ResourceType: "Hook", Resource: "H"}
	if d := ask(s, p, Standing{}, r); !d.Allow {
		t.Fatalf("got %+v", d)
	}
	r.Attrs.Owner = "boom"
	if d := ask(s, p, Standing{}, r); d.Allow || d.StepUp || d.Rule() != "overflows" {
		t.Errorf("an error must deny: %+v", d)
	}
	f := clean()
	f.AgeSeconds = 1 << 62
	if status, findings := s.Compliance(f); status != ReviewRequired || findings[0].Rule != "late" {
		t.Errorf("an error must be a finding: %s %v", status, findings)
	}
}

// Nothing is allowed unless some permit says so, whoever asks: with the permits taken
// away, every request is refused, and what is allowed names permits only.
func TestNothingWithoutPermit(t *testing.T) {
	s := loaded(t)
	bare := &Set{voc: s.voc, byID: s.byID}
	for _, r := range s.rules {
		if r.Effect == "forbid" {
			bare.rules = append(bare.rules, r)
		}
	}
	bare.index()
	words := func(list ...string) *rapid.Generator[string] { return rapid.SampledFrom(append(list, "")) }
	rapid.Check(t, func(t *rapid.T) {
		roles := rapid.SliceOfNDistinct(rapid.SampledFrom(append(caos.Roles(), "root", "")), 0, 5, rapid.ID).Draw(t, "roles")
		p := caos.Principal{ID: words("me", "you").Draw(t, "id"), Roles: roles, MFA: words("totp").Draw(t, "mfa")}
		st := Standing{Scoped: rapid.Bool().Draw(t, "scoped"), Projects: rapid.SliceOfN(words("a", "b"), 0, 2).Draw(t, "projects"),
			Clearances: rapid.SliceOfN(words("Restricted", "Regulated"), 0, 2).Draw(t, "clearances")}
		act := rapid.SampledFrom(append(s.Actions(), "nonsense", "sensitive")).Draw(t, "action")
		kinds := append(s.ResourceTypes(act), "User", "")
		r := Request{
			Action: act, ResourceType: rapid.SampledFrom(kinds).Draw(t, "kind"), Resource: words("X", "CAOS.PROD.CERT.AUDIT").Draw(t, "resource"),
			Attrs: Attributes{Project: words("a", "b", "c").Draw(t, "project"), Classification: words("Public", "Restricted", "x").Draw(t, "class"),
				Owner: words("me", "you").Draw(t, "owner"), Parties: rapid.SliceOfN(words("me", "you"), 0, 2).Draw(t, "parties"),
				Collection: rapid.Bool().Draw(t, "collection")},
		}
		if d := ask(bare, p, st, r); d.Allow || d.StepUp {
			t.Fatalf("allowed without any permit: %+v", d)
		}
		d := ask(s, p, st, r)
		for _, id := range d.Policies {
			if pol, ok := s.byID[types.PolicyID(id)]; d.Allow && (!ok || pol.Effect != "permit") {
				t.Fatalf("allowed by %s, which is no permit", id)
			}
		}
		if d.Allow && d.StepUp {
			t.Fatal("allowed and step-up at once")
		}
		if d.StepUp {
			armed := p
			armed.MFA = "totp"
			if again := ask(s, armed, st, r); !again.Allow {
				t.Fatalf("a second factor was asked for and did not help: %+v", again)
			}
		}
		// Losing a scope or a role never gives anything.
		if !d.Allow && len(roles) > 0 {
			// (The service role alone takes away as well: it rules out sensitive actions.)
			p.Roles = roles[1:]
			if less := ask(s, p, st, r); less.Allow && !slices.Contains(roles[:1], "service") {
				t.Fatalf("allowed with fewer roles: %+v", less)
			}
		}
	})
}

// FuzzLoad: hostile policy text is refused or loads; it never panics.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{"guards.cedar", "hooks.cedar", "registry.cedar", "compliance.cedar"} {
		text, err := shipped.ReadFile("cedar/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(`@id("x") @reason("r") permit (principal, action, resource) when { ((((((true)))))) };`)
	schema, err := shipped.ReadFile("cedar/" + schemaFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := load(schema, []fs.FS{fstest.MapFS{"x.cedar": {Data: []byte(text)}}})
		if err != nil {
			return
		}
		for _, a := range s.Actions() {
			ask(s, caos.Principal{ID: "me", Roles: []string{"admin"}}, Standing{}, Request{Action: a, ResourceType: s.ResourceTypes(a)[0], Resource: "X"})
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	s := loaded(b)
	sub := s.NewSubject(caos.Principal{ID: "me", Roles: []string{"data-engineer", "mlops-engineer"}}, Standing{Scoped: true, Projects: []string{"a"}})
	b.Run("submit", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !s.Decide(Request{Subject: sub, Action: "hook:submit", ResourceType: "Hook", Resource: "CAOS.PROD.CERT.AUDIT", Attrs: Attributes{Project: "a", Owner: "me"}}).Allow {
				b.Fatal("denied")
			}
		}
	})
	b.Run("item", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !s.Decide(Request{Subject: sub, Action: "evidence:read", ResourceType: "Evidence", Resource: "E", Attrs: Attributes{Project: "a", Owner: "me"}}).Allow {
				b.Fatal("denied")
			}
		}
	})
	b.Run("compliance", func(b *testing.B) {
		b.ReportAllocs()
		f := clean()
		for b.Loop() {
			s.Compliance(f)
		}
	})
	b.Run("subject", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.NewSubject(caos.Principal{ID: "me", Roles: []string{"data-engineer", "mlops-engineer"}}, Standing{Scoped: true, Projects: []string{"a"}})
		}
	})
}
