package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"caos"
	"caos/examples/programme"
	"caos/internal/auth"
	"caos/internal/client"
	"caos/internal/engine"
	"caos/internal/evidence"
	"caos/internal/hook"
	"caos/internal/httpapi"
)

const (
	demoModel    = "NN-FCS-001"
	hookEvidence = "CAOS.PROD.CERT.EVIDENCE"
	hookAudit    = "CAOS.PROD.CERT.AUDIT"
)

// scenes is the story, in its order.
func (st *stage) scenes() []func(context.Context) error {
	return slices.Concat([]func(context.Context) error{st.begin, st.chainOpened}, st.dataScenes(), st.freezeScenes(), st.boardScenes(), []func(context.Context) error{
		st.planPackage, st.testReport, st.moreEvidence, st.freezeDecision, st.refusals, st.killed, st.coverage, st.anchored, st.export, st.modelPackage, st.prove, st.askChain, st.tamper,
	})
}

func (st *stage) begin(ctx context.Context) error {
	st.screen.chapter("A new installation")
	if err := st.openChain(ctx); err != nil {
		return err
	}
	if err := st.open(ctx); err != nil {
		return err
	}
	st.screen.facts(pair{"server", fmt.Sprintf("%s, process %d", st.server.url, st.server.cmd.Process.Pid)}, pair{"folder", st.dir},
		pair{"people", strings.Join(personas(), ", ") + ": each with a token and a second factor of their own"})
	return nil
}

// planPackage opens the package and plans it against the matrix.
func (st *stage) planPackage(ctx context.Context) error {
	st.screen.chapter("Another model, of which only files exist: what has to be shown")
	var p evidence.Package
	err := st.people["certification"].Post(ctx, "/v1/packages", httpapi.NewPackageBody{ModelID: demoModel, Title: "Flight control system, 2.1.0"}, &p)
	if err != nil {
		return err
	}
	st.pkg = p.PackageID
	st.screen.good("certification opens %s for %s", p.PackageID, demoModel)
	ids, err := requirementsOf(programme.Traceability)
	if err != nil {
		return err
	}
	plan := httpapi.PlanBody{Requirements: ids, Source: "column Source_ID of " + programme.Traceability + ", rows of type Requirement"}
	a, err := st.people["vv-lead"].Do(ctx, client.Call{Method: http.MethodPut, Path: packagePath(st.pkg) + "/plan", JSON: plan})
	if err != nil {
		return err
	}
	var made evidence.Plan
	if err := a.Decode(&made); err != nil {
		return err
	}
	st.planned = made.Requirements
	st.screen.good("vv-lead plans it: %s of %s", plural(len(st.planned), "requirement", "requirements"), programme.Traceability)
	st.screen.note("%s", strings.Join(st.planned, "  "))
	return nil
}

// requirementsOf takes the requirement ids from the traceability matrix.
func requirementsOf(name string) ([]string, error) {
	f, err := programme.Files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return column(f, "Source_ID", []string{"Source_Type=Requirement"})
}

// testReport makes evidence of the report that the tests of the matrix wrote.
func (st *stage) testReport(ctx context.Context) error {
	st.screen.chapter("A real tool's test report becomes evidence")
	it, err := st.collect(ctx, artifact{who: "vv-lead", file: programme.JUnit, typ: evidence.TestResult, category: evidence.Verification,
		meta: evidence.Metadata{Title: "Checks of the traceability matrix", RequirementIDs: st.planned, TestEnvironment: "pytest, on the matrix itself"}})
	st.junit = it.EvidenceID
	return err
}

// artifact is one of the programme's files on its way into the package.
type artifact struct {
	who, file string
	uri       string // "" uploads the file
	text      []byte // of the file; nil for one of the programme's
	model     string // and its package; "" for the programme's
	pkg       string
	typ       evidence.Type
	category  evidence.Category
	meta      evidence.Metadata
	brief     bool // its actions are not shown one by one
}

// moreEvidence collects the other files.
func (st *stage) moreEvidence(ctx context.Context) error {
	st.screen.chapter("The programme's own files")
	for _, a := range []artifact{
		{who: "certification", file: programme.Registry, typ: evidence.Document, category: evidence.Audit,
			meta: evidence.Metadata{Title: "Industrialization registry", Format: evidence.JSON}},
		{who: "vv-lead", file: programme.Traceability, typ: evidence.Document, category: evidence.Verification,
			meta: evidence.Metadata{Title: "Production traceability matrix", Format: evidence.CSV, RequirementIDs: st.planned}},
		{who: "mlops-engineer", file: programme.SARIF, typ: evidence.TestResult, category: evidence.Verification,
			meta: evidence.Metadata{Title: "Static analysis of the checks"}},
	} {
		a.brief = true
		it, err := st.collect(ctx, a)
		if err != nil {
			return err
		}
		if it.Verdict == evidence.Failed {
			st.screen.note("A report that says no is kept and shown. It covers nothing.")
		}
	}
	return nil
}

// collect runs CERT.EVIDENCE on an artifact and shows its actions as they end; those of a brief
// one, of which the reader has seen the same before, are only counted.
func (st *stage) collect(ctx context.Context, a artifact) (evidence.Item, error) {
	var it evidence.Item
	st.screen.hook(hookEvidence, a.file, a.who)
	x, err := st.submitEvidence(ctx, a)
	if err != nil {
		return it, err
	}
	if a.brief {
		x, err = st.countSteps(ctx, a.who, x)
	} else {
		x, err = st.watchSteps(ctx, a.who, x)
	}
	if err != nil {
		return it, err
	}
	return st.collected(ctx, a.who, x)
}

func (st *stage) submitEvidence(ctx context.Context, a artifact) (*engine.Execution, error) {
	cl := st.people[a.who]
	uri := a.uri
	if uri == "" {
		body := a.text
		if body == nil {
			var err error
			if body, err = programme.Files.ReadFile(a.file); err != nil {
				return nil, err
			}
		}
		ans, err := cl.Upload(ctx, "/v1/objects", bytes.NewReader(body), int64(len(body)), nil)
		if err != nil {
			return nil, err
		}
		var o httpapi.StoredObject
		if err := ans.Decode(&o); err != nil {
			return nil, err
		}
		uri = o.URI
	}
	body, err := evidenceInput(addFlags{pkg: cmp.Or(a.pkg, st.pkg), model: cmp.Or(a.model, demoModel), category: string(a.category)}, a.typ, uri, a.meta)
	if err != nil {
		return nil, err
	}
	ans, err := submit(ctx, cl, submission{hook: hookEvidence, body: body})
	if err != nil {
		return nil, err
	}
	return execution(ans.Body)
}

// watchSteps shows each of the specification's actions once, when it has ended. An action
// may be several steps.
func (st *stage) watchSteps(ctx context.Context, who string, x *engine.Execution) (*engine.Execution, error) {
	shown := map[int]bool{}
	show := func(x *engine.Execution) {
		for _, a := range actionsOf(x) {
			if !shown[a.Number] && a.FinishedAt != nil {
				shown[a.Number] = true
				st.screen.step(a)
			}
		}
	}
	return st.ended(ctx, who, x, show)
}

// countSteps waits like watchSteps, and says how many actions there were.
func (st *stage) countSteps(ctx context.Context, who string, x *engine.Execution) (*engine.Execution, error) {
	x, err := st.ended(ctx, who, x, func(*engine.Execution) {})
	if err != nil {
		return nil, err
	}
	st.screen.good("the same %s", plural(len(actionsOf(x)), "action", "actions"))
	return x, nil
}

// ended waits until an execution has succeeded; show is given each of its states.
func (st *stage) ended(ctx context.Context, who string, x *engine.Execution, show func(*engine.Execution)) (*engine.Execution, error) {
	var err error
	if x.Status.Final() {
		show(x)
	} else if x, err = watch(ctx, st.people[who], watching{id: x.ID, state: func(_ []byte, x *engine.Execution) { show(x) }}); err != nil {
		return nil, err
	}
	if x.Status != engine.Succeeded {
		return nil, fmt.Errorf("%s ended %s: %w", x.ID, x.Status, orInternal(x.Error))
	}
	st.result.Hooks[x.HookID] = demoHook{x.ID, x.Status, x.Output}
	return x, nil
}

// actionsOf joins the steps of each numbered action. One that may go on, because nothing
// after it has begun, has no end yet.
func actionsOf(x *engine.Execution) (list []engine.StepRecord) {
	for i, s := range x.Steps {
		done := s.Status == engine.StepDone || s.Status == engine.StepFailed
		last := i+1 < len(x.Steps) || x.Status.Final()
		if !done || !last {
			s.FinishedAt = nil
		}
		if n := len(list); n > 0 && list[n-1].Number == s.Number {
			s.StartedAt, s.Attempt = list[n-1].StartedAt, max(s.Attempt, list[n-1].Attempt)
			list[n-1] = s
			continue
		}
		list = append(list, s)
	}
	return list
}

func orInternal(e *caos.Error) error {
	if e == nil {
		return errors.New("without a reason")
	}
	return e
}

// collected shows what has become of an artifact.
func (st *stage) collected(ctx context.Context, who string, x *engine.Execution) (it evidence.Item, err error) {
	var out hook.EvidenceOutput
	if err := json.Unmarshal(x.Output, &out); err != nil || out.EvidenceID == nil {
		return it, fmt.Errorf("%s has no evidence_id: %w", x.ID, err)
	}
	if err := st.people[who].Get(ctx, "/v1/evidence/"+escape(*out.EvidenceID), nil, &it); err != nil {
		return it, err
	}
	st.screen.note("%s  %s", it.EvidenceID, strings.Join(nonEmpty(string(it.Verdict), saysOf(it.Summary)), ", "))
	return it, nil
}

func nonEmpty(words ...string) (out []string) {
	for _, w := range words {
		if w != "" {
			out = append(out, w)
		}
	}
	return out
}

// freezeDecision records a decision of the programme.
func (st *stage) freezeDecision(ctx context.Context) error {
	st.screen.chapter("The freeze decision enters the audit log")
	const who = "configuration-manager"
	body, err := json.Marshal(hook.AuditInput{ActionType: "MODEL_FREEZE", ActorID: who, Timestamp: time.Now().UTC().Format(time.RFC3339),
		AffectedResources: []string{demoModel, st.pkg}, ActionDetails: map[string]any{"decision": "freeze", "model_version": "2.1.0", "baseline": "BL-FCS-2.1.0", "source": programme.Registry}})
	if err != nil {
		return err
	}
	st.screen.hook(hookAudit, "MODEL_FREEZE of "+demoModel, who)
	a, err := submit(ctx, st.people[who], submission{hook: hookAudit, body: body})
	if err != nil {
		return err
	}
	x, err := execution(a.Body)
	if err != nil {
		return err
	}
	if x, err = st.watchSteps(ctx, who, x); err != nil {
		return err
	}
	var out hook.AuditOutput
	if err := json.Unmarshal(x.Output, &out); err != nil || out.AuditRecordID == nil || out.ComplianceStatus == nil {
		return fmt.Errorf("%s has no record: %w", x.ID, err)
	}
	st.freeze = *out.AuditRecordID
	st.screen.note("%s  %s: one commit made the decision, its record and its leaf", st.freeze, *out.ComplianceStatus)
	for _, f := range x.Findings {
		st.screen.note("%s: %s", f.Rule, f.Message)
	}
	err = st.people["certification"].Post(ctx, packagePath(st.pkg)+"/records", httpapi.AttachBody{RecordID: st.freeze}, nil)
	if err == nil {
		st.screen.good("the record goes into %s, with the proof of its place in the log", st.pkg)
	}
	return err
}

// refusals are what must not work: here a wrong role; the story of the board has more.
func (st *stage) refusals(ctx context.Context) error {
	st.screen.chapter("What must not happen does not")
	err := st.people["data-engineer"].Post(ctx, packagePath(st.pkg)+"/close", httpapi.CloseBody{Statement: "done"}, nil)
	if err := st.refused("data-engineer closes the package", err); err != nil {
		return err
	}
	return nil
}

// refused shows a refusal, which there must be.
func (st *stage) refused(what string, err error) error {
	e := caos.AsError(err)
	if err == nil || e.Kind != caos.Denied || e.Rule == "" {
		return fmt.Errorf("%s: not refused by a policy: %w", what, err)
	}
	st.screen.caught("%s: refused by %s", what, e.Rule)
	st.screen.note("%s", e.Message)
	return nil
}

// enrol makes an SSH key for somebody and enrols it.
func (st *stage) enrol(ctx context.Context, who string) (k auth.PersonalKey, err error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return k, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return k, err
	}
	st.signers[who] = signer
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	var s httpapi.Statement
	if err := st.people[who].Get(ctx, "/v1/keys/statement", query("public_key", line), &s); err != nil {
		return k, err
	}
	sig, err := sshSignature(signer.PublicKey(), auth.KeyNamespace, []byte(s.Statement), signWith(signer))
	if err != nil {
		return k, err
	}
	return k, st.people[who].Post(ctx, "/v1/keys", httpapi.EnrolBody{Statement: s.Statement, Signature: string(sig)}, &k)
}

// killed kills the server while it fetches an artifact, and starts it again.
func (st *stage) killed(ctx context.Context) error {
	st.screen.chapter("kill -9 in the middle")
	a := artifact{who: "data-engineer", file: programme.Readiness, uri: st.host.url(), typ: evidence.Document, category: evidence.Audit,
		meta: evidence.Metadata{Title: "Production readiness table", Format: evidence.CSV}}
	st.screen.hook(hookEvidence, a.file, a.who)
	x, err := st.submitEvidence(ctx, a)
	if err != nil {
		return err
	}
	select {
	case <-st.host.half:
	case <-time.After(patience):
		return errors.New("nobody fetched the artifact")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	pid, address := st.server.cmd.Process.Pid, st.address()
	st.server.kill()
	st.screen.caught("process %d was killed when it had fetched half of the file from another host", pid)
	killed := time.Now()
	if err := st.start(address); err != nil {
		return err
	}
	st.screen.good("process %d serves again after %d ms and finds %s", st.server.cmd.Process.Pid, time.Since(killed).Milliseconds(), x.ID)
	if x, err = st.watchSteps(ctx, a.who, x); err != nil {
		return err
	}
	_, err = st.collected(ctx, a.who, x)
	return err
}

func (st *stage) coverage(ctx context.Context) error {
	st.screen.chapter("Is everything shown that has to be?")
	var s evidence.PackageStatus
	if err := st.people["certification"].Get(ctx, packagePath(st.pkg)+"/status", nil, &s); err != nil {
		return err
	}
	c := s.Package.Counts
	st.screen.facts(pair{"evidence", fmt.Sprintf("%d items: %d passed, %d recorded, %d failed", c.Items, c.Passed, c.Recorded, c.Failed)},
		pair{"requirements", fmt.Sprintf("%d of %d covered", s.Coverage.Requirements.Covered, s.Coverage.Requirements.Planned)})
	for _, f := range s.Findings {
		st.screen.caught("%s: %s", f.Rule, f.Message)
	}
	body := httpapi.CloseBody{}
	if !s.Full {
		body.Statement = "closed for the demo with the findings above"
	}
	if err := st.people["certification"].Post(ctx, packagePath(st.pkg)+"/close", body, &s); err != nil {
		return err
	}
	st.screen.good("certification closes %s with a second factor: it takes nothing more", st.pkg)
	return nil
}

func (st *stage) export(ctx context.Context) error {
	st.screen.chapter("One file for the authority")
	var b bytes.Buffer
	if _, err := st.people["auditor"].Download(ctx, packagePath(st.pkg)+"/export", query("for", "authority"), &b); err != nil {
		return err
	}
	st.exported = b.Bytes()
	st.result.Package = filepath.Join(st.dir, st.pkg+".caospkg")
	if err := os.WriteFile(st.result.Package, st.exported, 0o644); err != nil {
		return err
	}
	st.screen.good("%s, %s, taken away by auditor", st.result.Package, bytesOf(int64(b.Len())))
	return nil
}
