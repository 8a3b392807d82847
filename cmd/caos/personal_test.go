package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"caos"
	"caos/internal/auth"
	"caos/internal/readiness"
	"caos/internal/verify"
)

// A server that would have a person sign anything but what they asked for gets no signature.
func TestProposalsThatSaySomethingElse(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	digest := "SHA256:" + strings.Repeat("ab", 32)
	good := verify.Decision{Digest: digest, Meaning: "APPROVED: NN-DLY-001 1.0.0, baseline BL-DLY-1.0.0", Person: "nora", Time: caos.FormatTime(now), What: "vote:PRR-NN-DLY-001-1.0.0:APPROVED"}
	asked := act{what: []string{"vote:PRR-NN-DLY-001-1.0.0:APPROVED"}, says: []string{"APPROVED:", "BL-DLY-1.0.0"}, of: "the report", about: digest}
	propose := func(d verify.Decision) readiness.Proposal {
		s, err := d.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		return readiness.Proposal{Statement: string(s), Namespace: verify.DecisionNamespace, Digest: d.Digest, Meaning: d.Meaning}
	}
	if _, err := checkProposal(propose(good), asked, "nora", now); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		lie   func(*verify.Decision)
		twist func(*readiness.Proposal)
		want  string
	}{
		"another namespace":    {twist: func(p *readiness.Proposal) { p.Namespace = "git" }, want: "namespace"},
		"no statement":         {twist: func(p *readiness.Proposal) { p.Statement = "" }, want: "something else"},
		"not canonical":        {twist: func(p *readiness.Proposal) { p.Statement = " " + p.Statement }, want: "canonical"},
		"a field more":         {twist: func(p *readiness.Proposal) { p.Statement = strings.Replace(p.Statement, "{", `{"also":"x",`, 1) }, want: "something else"},
		"words for the screen": {twist: func(p *readiness.Proposal) { p.Meaning += "!" }, want: "not what the server says"},
		"another digest shown": {twist: func(p *readiness.Proposal) { p.Digest = "SHA256:" + strings.Repeat("cd", 32) }, want: "not what the server says"},
		"another outcome":      {lie: func(d *verify.Decision) { d.What = "vote:PRR-NN-DLY-001-1.0.0:REJECTED" }, want: "the act"},
		"another review":       {lie: func(d *verify.Decision) { d.What = "vote:PRR-NN-DLY-001-1.0.0-2:APPROVED" }, want: "the act"},
		"another person":       {lie: func(d *verify.Decision) { d.Person = "omar" }, want: `a decision of "omar"`},
		"another report":       {lie: func(d *verify.Decision) { d.Digest = "SHA256:" + strings.Repeat("cd", 32) }, want: "the report has the digest"},
		"another baseline":     {lie: func(d *verify.Decision) { d.Meaning = strings.Replace(d.Meaning, "BL-DLY", "BL-FCS", 1) }, want: "does not say"},
		"old":                  {lie: func(d *verify.Decision) { d.Time = caos.FormatTime(now.Add(-time.Hour)) }, want: "its time is"},
		"of tomorrow":          {lie: func(d *verify.Decision) { d.Time = caos.FormatTime(now.Add(24 * time.Hour)) }, want: "its time is"},
	} {
		d := good
		if tc.lie != nil {
			tc.lie(&d)
		}
		p := propose(d)
		if tc.twist != nil {
			tc.twist(&p)
		}
		_, err := checkProposal(p, asked, "nora", now)
		if err == nil || !strings.Contains(err.Error(), tc.want) || caos.KindOf(err) != caos.Denied {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func FuzzCheckProposal(f *testing.F) {
	f.Add(`{"digest":"SHA256:","meaning":"x","person":"nora","time":"2026-11-23T10:00:00.000000Z","what":"vote:P:APPROVED"}`, "x")
	f.Fuzz(func(t *testing.T, statement, meaning string) {
		d, err := checkProposal(readiness.Proposal{Statement: statement, Namespace: verify.DecisionNamespace, Meaning: meaning, Digest: "SHA256:" + strings.Repeat("ab", 32)},
			act{what: []string{"vote:P:APPROVED"}, says: []string{"APPROVED"}}, "nora", time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))
		if err == nil && (d.Person != "nora" || d.What != "vote:P:APPROVED" || !strings.Contains(d.Meaning, "APPROVED")) {
			t.Errorf("%q passed", statement)
		}
	})
}

// The agent signs with that key of the person's which counts.
func TestAgentHand(t *testing.T) {
	var own []auth.PersonalKey
	var keys []any
	for _, status := range []string{auth.KeyEnrolled, auth.KeyActive, "revoked"} {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ssh.NewPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, private)
		own = append(own, auth.PersonalKey{ID: status, Status: status, Fingerprint: ssh.FingerprintSHA256(key)})
	}
	socket := serveAgent(t, keys...)
	e, _, _ := newTest()
	e.getenv = func(name string) string { return map[string]string{"SSH_AUTH_SOCK": socket}[name] }
	k, err := e.agentHand(own)
	if err != nil {
		t.Fatal(err)
	}
	if k.known == nil || k.known.ID != auth.KeyActive {
		t.Errorf("signs with %+v", k.known)
	}
	message := []byte("{}")
	signature, err := sshSignature(k.public, verify.DecisionNamespace, message, k.sign)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify.VerifySSHSig(signature, message, verify.DecisionNamespace); err != nil {
		t.Error(err)
	}
	if _, err := e.agentHand(own[:1]); err == nil || !strings.Contains(err.Error(), "no key of yours counts") {
		t.Errorf("%v", err)
	}
	own[1].Fingerprint = "SHA256:elsewhere"
	if _, err := e.agentHand(own); err == nil || !strings.Contains(err.Error(), "the SSH agent has none") {
		t.Errorf("%v", err)
	}
}

// What a server tells of a decision is compared with what was signed.
func TestProofOf(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	said := verify.Decision{Digest: "SHA256:" + strings.Repeat("ab", 32), Meaning: "APPROVED: x", Person: "nora", Time: "2026-11-23T10:00:00.000000Z", What: "vote:P:APPROVED"}
	statement, err := said.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	signature, err := sshSignature(key, verify.DecisionNamespace, statement, func(b []byte) (*ssh.Signature, error) { return signer.Sign(rand.Reader, b) })
	if err != nil {
		t.Fatal(err)
	}
	d := readiness.Decision{What: said.What, Digest: said.Digest, Meaning: said.Meaning, Person: said.Person, Proof: verify.ProofSSH, Statement: string(statement), Signature: string(signature)}
	if got := proofOf(&d); got != "personal key "+ssh.FingerprintSHA256(key) {
		t.Error(got)
	}
	server := d
	server.Proof, server.Signature = verify.ProofServer, ""
	if got := proofOf(&server); got != "asserted by server" {
		t.Error(got)
	}
	for name, lie := range map[string]func(*readiness.Decision){
		"person": func(d *readiness.Decision) { d.Person = "omar" }, "act": func(d *readiness.Decision) { d.What = "vote:P:REJECTED" },
		"digest": func(d *readiness.Decision) { d.Digest = "" }, "meaning": func(d *readiness.Decision) { d.Meaning = "" },
		"statement": func(d *readiness.Decision) { d.Statement = "" }, "signature": func(d *readiness.Decision) { d.Signature = "" },
		"other signature": func(d *readiness.Decision) { d.Signature = strings.Replace(d.Signature, "A", "B", 9) },
		"proof":           func(d *readiness.Decision) { d.Proof = "word of honour" },
	} {
		bad := d
		lie(&bad)
		if got := proofOf(&bad); strings.HasPrefix(got, "personal key") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestConditionsGiven(t *testing.T) {
	got, err := conditionsGiven([]string{"Show the estimate; at night; ada ;2026-12-20"})
	if want := []readiness.ConditionDraft{{Text: "Show the estimate; at night", Owner: "ada", DueOn: "2026-12-20"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range []string{"", "x", "x;ada", ";ada;2026-12-20", "x;not an id;2026-12-20", "x;ada;soon", "x;ada;2026-02-30"} {
		if _, err := conditionsGiven([]string{bad}); caos.KindOf(err) != caos.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := conditionsGiven([]string{"x;ada;2026-12-20", "x;ada;2026-12-20"}); err == nil {
		t.Error("one condition twice")
	}
}

func FuzzConditionsGiven(f *testing.F) {
	f.Add("text;ada;2026-12-20")
	f.Fuzz(func(t *testing.T, s string) {
		list, err := conditionsGiven([]string{s})
		if err == nil && (len(list) != 1 || list[0].Text == "" || list[0].Owner == "" || len(list[0].DueOn) != 10) {
			t.Errorf("%q: %v", s, list)
		}
	})
}

func TestMatrix(t *testing.T) {
	risk := func(id string, l, i, rl, ri int) *readiness.Risk {
		return &readiness.Risk{RiskID: id, Likelihood: l, Impact: i, Score: l * i, ResidualLikelihood: rl, ResidualImpact: ri, ResidualScore: rl * ri}
	}
	risks := []*readiness.Risk{risk("RISK-B", 5, 5, 1, 2), risk("RISK-A", 1, 2, 0, 0), risk("RISK-C", 3, 4, 0, 0), risk("broken", 9, 9, 0, 0)}
	g := matrixOf(risks, false)
	want := []gridCell{{3, 4, 12, readiness.High, []string{"RISK-C"}}, {1, 2, 2, readiness.Low, []string{"RISK-A", "RISK-B"}}}
	if got, _ := json.Marshal(g.Cells); g.Risks != 3 || !bytes.Equal(got, must(json.Marshal(want))) {
		t.Errorf("%d %s", g.Risks, got)
	}
	if g := matrixOf(risks, true); g.Cells[0].Score != 25 || g.Levels[0].Risks != 1 {
		t.Errorf("%+v", g)
	}
	for range 6 {
		risks = append(risks, risk("RISK-MANY-"+strings.Repeat("X", 30), 3, 4, 0, 0))
	}
	for _, width := range []int{0, 80, 120} {
		e, out, _ := newTest()
		e.width = width
		e.matrix(matrixOf(risks, false), "NN-DLY-001")
		for line := range strings.SplitSeq(out.String(), "\n") {
			if n := len([]rune(line)); width > 0 && n > width {
				t.Errorf("%d columns at %d: %s", n, width, line)
			}
		}
		if !strings.Contains(out.String(), "+4 more") {
			t.Errorf("at %d:\n%s", width, out)
		}
	}
}

func must(b []byte, _ error) []byte { return b }

// A scope is signed only if it says what the release is shown with.
func TestCheckScope(t *testing.T) {
	until := time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC)
	scope := `{"authorization_id":"R","baseline_id":"B","model_id":"M","model_version":"1.0.0","not_after":"2027-04-01T00:00:00.000000Z","not_before":"","platforms":["east"],"rationale":"why","root_digest":"D","strategies":["CANARY"]}`
	good := readiness.ReleaseAuthorization{AuthorizationID: "R", Platforms: []string{"east"}, Strategies: []string{"CANARY"}, NotAfter: &until, Rationale: "why", Scope: scope,
		ScopeDigest: verify.StatementHash([]byte(scope)), Subject: readiness.Subject{BaselineID: "B", ModelID: "M", Version: "1.0.0", RootDigest: "D"}}
	if err := checkScope(&good); err != nil {
		t.Fatal(err)
	}
	for name, lie := range map[string]func(*readiness.ReleaseAuthorization){
		"digest": func(a *readiness.ReleaseAuthorization) { a.ScopeDigest = "SHA256:" }, "baseline": func(a *readiness.ReleaseAuthorization) { a.BaselineID = "C" },
		"root": func(a *readiness.ReleaseAuthorization) { a.RootDigest = "E" }, "platforms": func(a *readiness.ReleaseAuthorization) { a.Platforms = nil },
		"strategies": func(a *readiness.ReleaseAuthorization) { a.Strategies = []string{"ROLLING"} }, "from": func(a *readiness.ReleaseAuthorization) { a.NotBefore = &until },
		"until": func(a *readiness.ReleaseAuthorization) { a.NotAfter = nil }, "scope": func(a *readiness.ReleaseAuthorization) { a.Scope += " " },
	} {
		bad := good
		if lie(&bad); checkScope(&bad) == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestDaysLeft(t *testing.T) {
	now := time.Date(2026, 11, 23, 23, 59, 0, 0, time.UTC)
	for on, want := range map[string]string{"2026-11-23": "(today)", "2026-11-24": "(1 day)", "2026-11-30": "(7 days)", "2026-11-22": "(1 day late)", "2026-01-01": "(326 days late)"} {
		if got := distance(daysLeft(on, now)); got != want {
			t.Errorf("%s: %s, want %s", on, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-1: "over", time.Second: "in 1 minute", 5 * time.Hour: "in 5 hours", 49 * time.Hour: "in 2 days"} {
		if got := left(now.Add(d), now); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}
