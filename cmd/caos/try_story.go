package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"caos"
	"caos/internal/client"
	"caos/internal/dpp"
	"caos/internal/engine"
	"caos/internal/evidence"
	"caos/internal/hook"
	"caos/internal/httpapi"
	"caos/internal/registry"
	"caos/internal/verify"
)

// tryScenes is the story, in its order.
func (t *trial) tryScenes() []func(context.Context) error {
	return []func(context.Context) error{t.look, t.install, t.bring, t.askWhy, t.approve, t.freezeIt, t.carry, t.pack, t.proveAll}
}

// look shows what was found in the file, and the tests that were done on it.
func (t *trial) look(context.Context) error {
	s, o := t.subject, t.subject.onnx
	t.screen.chapter("Your file, looked at and not run")
	t.screen.facts(
		pair{"file", fmt.Sprintf("%s, %s", s.path, bytesOf(s.size))}, pair{"SHA-256", s.digest},
		pair{"format", fmt.Sprintf("ONNX, IR version %d, %s", o.IRVersion, opsetsOf(o))}, pair{"made by", orDash(strings.TrimSpace(o.Producer + " " + o.ProducerVersion))},
		pair{"graph", fmt.Sprintf("%s; %d weights, %d constants", plural(int(o.Nodes), "node", "nodes"), o.Parameters, o.Constants)}, pair{"operators", operatorsOf(o, 8)},
		pair{"takes, gives", endsOf(o)})
	for _, f := range s.report.Findings {
		t.screen.caught("%s: %s", f.Severity, f.Message)
	}
	for _, x := range s.tests {
		text := fmt.Sprintf("%s  %s", x.TestID, x.Title)
		if x.Result == "PASSED" {
			t.screen.good("%s", text)
			continue
		}
		t.screen.caught("%s; %s: %g, wanted %s %g", text, x.Metric, *x.Value, x.Operator, *x.Threshold)
		if x.Note != "" {
			t.screen.note("%s", x.Note)
		}
	}
	t.screen.note("These are tests of the file. How well the model does its task is for its own V&V.")
	return nil
}

func (t *trial) install(ctx context.Context) error {
	t.screen.chapter("A throw-away installation")
	if err := t.open(ctx); err != nil {
		return err
	}
	t.screen.facts(pair{"server", fmt.Sprintf("%s, process %d", t.server.url, t.server.cmd.Process.Pid)}, pair{"folder", t.dir},
		pair{"log", t.trust.Origin + ": every proof from here says SANDBOX"},
		pair{"people", strings.Join(tryPersonas(), ", ") + ": each with a token and a second factor, typed by this program"})
	return nil
}

func tryVersionPath() string { return versionPath(tryModel, tryVersion) }

// bring registers the model with its files, and the drafts.
func (t *trial) bring(ctx context.Context) (err error) {
	s := t.subject
	t.screen.chapter("Registered, with drafts made from the file")
	if t.papers, err = s.drafts(time.Now()); err != nil {
		return err
	}
	if err := writeDrafts(t.out.Drafts, t.papers); err != nil {
		return err
	}
	name := cut("SANDBOX: "+clean(t.out.Model), 200)
	if err := t.people["configuration-manager"].Post(ctx, "/v1/models", httpapi.NewModelBody{ModelID: tryModel, Name: name, Family: "TRY", Owner: "model-owner",
		Description: "Made by caos try from " + clean(t.out.Model) + ". A sandbox: proves nothing about a product."}, nil); err != nil {
		return err
	}
	if err := t.people["configuration-manager"].Post(ctx, modelPath(tryModel)+"/versions", httpapi.NewVersionBody{Version: tryVersion, Framework: cut(orDash(clean(s.onnx.Producer)), 60),
		SafetyImpact: "SANDBOX: none stated", CertificationImpact: "SANDBOX: none stated"}, nil); err != nil {
		return err
	}
	t.screen.good("configuration-manager registers %s@%s, owned by model-owner", tryModel, tryVersion)
	if err := t.attachFile(ctx, companion{path: s.path, name: s.name, digest: s.digest, size: s.size}, "inference"); err != nil {
		return err
	}
	t.screen.good("mlops-engineer attaches %s, %s: hashed and scanned by the server, too", s.name, bytesOf(s.size))
	for _, c := range s.beside {
		if err := t.attachFile(ctx, c, "weights"); err != nil {
			return err
		}
		t.screen.good("mlops-engineer attaches %s, %s", c.name, bytesOf(c.size))
	}
	for i := range t.papers {
		if err := t.register(ctx, &t.papers[i]); err != nil {
			return err
		}
	}
	t.screen.good("mlops-engineer and vv-lead register %s: %s, %d of %d tests passed", plural(len(t.papers), "draft", "drafts"), "plan, report, safety, defects, card, review", s.passed(), len(s.tests))
	t.screen.note("%s", t.out.Drafts)
	return nil
}

// attachFile uploads a file and attaches it; the server must find the digest found here.
func (t *trial) attachFile(ctx context.Context, c companion, role string) error {
	f, err := os.Open(c.path)
	if err != nil {
		return unreadable(c.path, err)
	}
	defer f.Close()
	sum, err := hex.DecodeString(strings.TrimPrefix(c.digest, "SHA256:"))
	if err != nil {
		return err
	}
	cl := t.people["mlops-engineer"]
	a, err := cl.Upload(ctx, "/v1/objects", io.LimitReader(f, c.size), c.size, sum)
	if err != nil {
		return err
	}
	if err := sameDigest(a, c.digest); err != nil {
		return err
	}
	return cl.Post(ctx, tryVersionPath()+"/artifacts", httpapi.NewArtifactBody{ObjectBody: httpapi.ObjectBody{Digest: c.digest}, Name: c.name, Role: role,
		Source: "caos try", Description: "SANDBOX"}, nil)
}

// register uploads a draft, registers it, and attaches it to the version.
func (t *trial) register(ctx context.Context, d *draft) error {
	o, err := t.upload(ctx, d.by, d.text)
	if err != nil {
		return err
	}
	digest := httpapi.ObjectBody{Digest: o.Digest}
	if err := t.people[d.by].Post(ctx, "/v1/documents", httpapi.NewDocumentBody{ObjectBody: digest, DocumentID: d.id, Version: "1.0", Kind: d.kind, Title: d.title,
		ModelID: tryModel, ModelVersion: tryVersion, MediaType: d.media}, nil); err != nil {
		return fmt.Errorf("register %s: %w", d.file, err)
	}
	if o, err = t.upload(ctx, "mlops-engineer", d.text); err != nil { // whoever attaches bytes must have brought them
		return err
	}
	return t.people["mlops-engineer"].Post(ctx, tryVersionPath()+"/artifacts", httpapi.NewArtifactBody{ObjectBody: httpapi.ObjectBody{Digest: o.Digest}, Name: "drafts/" + d.file, Role: d.role,
		MediaType: d.media, Source: "caos try", Description: d.title}, nil)
}

func (t *trial) upload(ctx context.Context, who string, text []byte) (o httpapi.StoredObject, err error) {
	a, err := t.people[who].Upload(ctx, "/v1/objects", bytes.NewReader(text), int64(len(text)), nil)
	if err != nil {
		return o, err
	}
	return o, a.Decode(&o)
}

// gates asks every gate of the freeze, as whoever will ask for it.
func (t *trial) gates(ctx context.Context) (x hook.Explanation, err error) {
	return x, t.people["configuration-manager"].Get(ctx, tryVersionPath()+"/why/freeze", nil, &x)
}

// askWhy shows what still stands in the way, and who could clear it.
func (t *trial) askWhy(ctx context.Context) error {
	t.screen.chapter("May it be frozen?")
	x, err := t.gates(ctx)
	if err != nil {
		return err
	}
	t.showGates(x, true)
	return nil
}

// showGates writes what every gate says. Those that approvals will clear are named with who
// could do so.
func (t *trial) showGates(x hook.Explanation, who bool) (stopped []*caos.Finding) {
	held := 0
	for _, g := range x.Gates {
		if g.Pass || g.Finding == nil {
			held++
			continue
		}
		stopped = append(stopped, g.Finding)
		t.screen.caught("%s: %s", g.Finding.Rule, g.Finding.Message)
		if who && g.Who != nil && len(g.Who.Roles) > 0 {
			t.screen.note("can be cleared by %s", strings.Join(g.Who.Roles, ", "))
		} else if g.Finding.Remedy != "" {
			t.screen.note("%s", g.Finding.Remedy)
		}
	}
	t.screen.good("%d of %s hold", held, plural(len(x.Gates), "gate", "gates"))
	return stopped
}

// approve has the drafts approved by those who may: never by who brought them.
func (t *trial) approve(ctx context.Context) error {
	t.screen.chapter("Approved by those who may")
	for _, d := range t.papers {
		if d.decider == "" {
			continue
		}
		body := httpapi.DocumentDecisionBody{Approve: true, Version: "1.0", Statement: "SANDBOX: approved by caos try, by nobody who has read it"}
		if err := t.people[d.decider].Post(ctx, documentPath(d.id)+"/decision", body, nil); err != nil {
			return err
		}
		t.screen.good("%s approves %s with a second factor, which was brought by %s", d.decider, d.id, d.by)
	}
	return nil
}

// freezeIt runs MODEL.FREEZE. A model that fails its own tests is told so by the gates, as
// it would be anywhere, and the story ends there.
func (t *trial) freezeIt(ctx context.Context) error {
	t.screen.chapter("The freeze")
	x, err := t.gates(ctx)
	if err != nil {
		return err
	}
	stopped := t.showGates(x, false)
	if len(stopped) > 0 {
		t.out.FreezeNot = stopped[0].Message
		t.screen.say("This is where it ends for this file: mend that, and try again.")
		return errNotFrozen
	}
	const who = "configuration-manager"
	body, err := json.Marshal(hook.FreezeInput{ModelID: tryModel, ModelVersion: tryVersion, VVReportID: tryReport, VVStatus: "PASSED", FreezeRequester: who,
		FreezeRationale: "SANDBOX: caos try of " + cut(clean(t.out.Model), 200)})
	if err != nil {
		return err
	}
	x1, err := t.run(ctx, who, submission{hook: freezeHookID, body: body}, tryModel+"@"+tryVersion)
	if err != nil {
		return err
	}
	var out hook.FreezeOutput
	if err := json.Unmarshal(x1.Output, &out); err != nil || out.FreezeID == nil || out.BaselineID == nil {
		return fmt.Errorf("%s ended without a baseline: %w", x1.ID, err)
	}
	t.made.baseline, t.out.Freeze, t.out.Baseline, t.out.Frozen = *out.BaselineID, *out.FreezeID, *out.BaselineID, true
	var b registry.Baseline
	if err := t.people["auditor"].Get(ctx, baselinePath(t.made.baseline), nil, &b); err != nil {
		return err
	}
	t.screen.facts(pair{"freeze", *out.FreezeID}, pair{"baseline", fmt.Sprintf("%s, %s, %s, write-once", b.BaselineID, plural(b.FileCount, "file", "files"), bytesOf(b.Bytes))},
		pair{"root", b.RootDigest})
	if out.DPPRecordID == nil {
		return fmt.Errorf("%s made no passport: %v", x1.ID, x1.Findings)
	}
	t.made.passport, t.out.Passport = *out.DPPRecordID, *out.DPPRecordID
	return nil
}

const freezeHookID = "CAOS.PROD.MODEL.FREEZE"

// run submits a hook and shows its actions as they end.
func (t *trial) run(ctx context.Context, who string, s submission, what string) (*engine.Execution, error) {
	t.screen.hook(s.hook, what, who)
	a, err := submit(ctx, t.people[who], s)
	if err != nil {
		return nil, err
	}
	x, err := execution(a.Body)
	if err != nil {
		return nil, err
	}
	return t.watchSteps(ctx, who, x)
}

// carry takes away what others can check: the passport, and the baseline as one file.
func (t *trial) carry(ctx context.Context) error {
	t.screen.chapter("Its passport, and the baseline as one file")
	var p dpp.Passport
	if err := t.people["auditor"].Get(ctx, passportPath(t.made.passport), nil, &p); err != nil {
		return err
	}
	t.made.credential, t.made.tar = filepath.Join(t.dir, p.PassportID+".jsonld"), filepath.Join(t.dir, t.made.baseline+".tar")
	if err := t.save(ctx, "auditor", "/dpp/"+escape(p.PassportID)+"/credential", t.made.credential); err != nil {
		return err
	}
	if err := t.save(ctx, "auditor", baselinePath(t.made.baseline)+"/export", t.made.tar); err != nil {
		return err
	}
	page := p.Page
	if !t.keep {
		page += "  (while the server runs: with --keep)"
	}
	t.screen.facts(pair{"passport", p.PassportID}, pair{"page", page}, pair{"address", p.URI}, pair{"issuer", p.Issuer})
	t.screen.good("a W3C verifiable credential, which anyone may read, and the files with an OpenSSF Model Signing bundle")
	return nil
}

// save downloads to a file.
func (t *trial) save(ctx context.Context, who, path, name string) (err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = t.people[who].Download(ctx, path, nil, f)
	return err
}

// pack makes the evidence package.
func (t *trial) pack(ctx context.Context) error {
	t.screen.chapter("An evidence package")
	cert := t.people["certification"]
	var p evidence.Package
	if err := cert.Post(ctx, "/v1/packages", httpapi.NewPackageBody{ModelID: tryModel, Title: "SANDBOX: " + cut(clean(t.out.Model), 200)}, &p); err != nil {
		return err
	}
	var ids []string
	for _, q := range tryRequirements() {
		ids = append(ids, q.id)
	}
	plan := httpapi.PlanBody{Requirements: ids, Source: sandboxMark + ": " + tryPlan}
	if _, err := t.people["vv-lead"].Do(ctx, client.Call{Method: http.MethodPut, Path: packagePath(p.PackageID) + "/plan", JSON: plan}); err != nil {
		return err
	}
	if err := t.collectReport(ctx, p.PackageID, ids); err != nil {
		return err
	}
	var s evidence.PackageStatus
	if err := cert.Get(ctx, packagePath(p.PackageID)+"/status", nil, &s); err != nil {
		return err
	}
	t.screen.good("%d of %s covered by passed tests", s.Coverage.Requirements.Covered, plural(s.Coverage.Requirements.Planned, "requirement", "requirements"))
	for _, f := range s.Findings {
		t.screen.caught("%s: %s", f.Rule, f.Message)
	}
	if err := cert.Post(ctx, packagePath(p.PackageID)+"/close", httpapi.CloseBody{Statement: "SANDBOX"}, nil); err != nil {
		return err
	}
	var b bytes.Buffer
	if _, err := t.people["auditor"].Download(ctx, packagePath(p.PackageID)+"/export", query("for", "authority"), &b); err != nil {
		return err
	}
	t.exported, t.out.Package = b.Bytes(), filepath.Join(t.dir, p.PackageID+".caospkg")
	if err := os.WriteFile(t.out.Package, t.exported, 0o644); err != nil {
		return err
	}
	t.screen.good("certification closes %s, auditor takes it away: %s", p.PackageID, bytesOf(int64(b.Len())))
	return nil
}

// collectReport makes the V&V report evidence.
func (t *trial) collectReport(ctx context.Context, pkg string, requirements []string) error {
	for _, d := range t.papers {
		if d.id != tryReport {
			continue
		}
		o, err := t.upload(ctx, d.by, d.text)
		if err != nil {
			return err
		}
		body, err := evidenceInput(addFlags{pkg: pkg, model: tryModel, category: string(evidence.Verification)}, evidence.TestResult, o.URI,
			evidence.Metadata{Title: d.title, Format: evidence.JSON, RequirementIDs: requirements, TestEnvironment: sandboxMark + ": caos try"})
		if err != nil {
			return err
		}
		_, err = t.run(ctx, d.by, submission{hook: hookEvidence, body: body}, d.file)
		return err
	}
	return errors.New("there is no V&V report")
}

// proveAll checks what was taken away, with the server gone, as caos-verify does.
func (t *trial) proveAll(context.Context) error {
	t.screen.chapter("Checked offline, with the server gone")
	if err := t.server.stop(); err != nil {
		return err
	}
	r, err := t.check(t.exported)
	if err != nil {
		return err
	}
	if !r.Sandbox() {
		return errors.New("the package does not say that it is from a sandbox")
	}
	t.screen.caught("SANDBOX, as the verifier says first: made in a trial installation (%s), proves nothing about a product", t.trust.Origin)
	for _, c := range r.Checks {
		if c.OK {
			t.screen.good("%s", c.Says)
			continue
		}
		t.screen.caught("%s", c.Says)
	}
	ok := r.OK
	for _, file := range []string{t.made.tar, t.made.credential} {
		var text strings.Builder
		good := verify.Main([]string{"--trust", t.trustFile(), file}, &text, &text, false) == verify.ExitOK
		if ok = ok && good; good {
			t.screen.good("%s verifies, too", filepath.Base(file))
		} else {
			t.screen.caught("%s: %s", filepath.Base(file), text.String())
		}
	}
	if t.out.Verified = ok; !ok {
		return errors.New("what was made does not hold")
	}
	return nil
}
