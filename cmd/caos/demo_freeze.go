package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"caos"
	flightdelay "caos/examples/flight-delay"
	"caos/internal/client"
	"caos/internal/dpp"
	"caos/internal/engine"
	"caos/internal/evidence"
	"caos/internal/hook"
	"caos/internal/httpapi"
	"caos/internal/registry"
	"caos/internal/verify"
)

// The second half of the story: a model that is really there becomes a baseline.
const (
	frozenModel   = flightdelay.ModelID
	frozenVersion = flightdelay.Version
	hookFreeze    = "CAOS.PROD.MODEL.FREEZE"
)

// freezeScenes are told after the installation is made.
func (st *stage) freezeScenes() []func(context.Context) error {
	return []func(context.Context) error{st.registerModel, st.whyNot, st.documents, st.freezeModel, st.madeFrom, st.passport, st.frozenOnChain, st.flipStored}
}

func demoVersion() string { return "/v1/models/" + frozenModel + "/versions/" + frozenVersion }

// registerModel registers the model, attaches its files and imports what it is traced to.
func (st *stage) registerModel(ctx context.Context) error {
	st.screen.chapter("A real model: " + frozenModel + " predicts how late a flight arrives")
	owner := st.people["model-owner"]
	if err := owner.Post(ctx, "/v1/models", httpapi.NewModelBody{ModelID: frozenModel, Name: flightdelay.Name, Family: flightdelay.Family, SafetyLevel: flightdelay.Level,
		Description: "Trained on US flights of January and February 2001"}, nil); err != nil {
		return err
	}
	if err := owner.Post(ctx, "/v1/models/"+frozenModel+"/versions", httpapi.NewVersionBody{Version: frozenVersion, Framework: "NumPy, ONNX"}, nil); err != nil {
		return err
	}
	total := int64(0)
	for _, f := range flightdelay.Artifacts() {
		size, err := st.attach(ctx, f)
		if err != nil {
			return err
		}
		total += size
	}
	st.screen.good("model-owner registers it and attaches %s, %s: each is hashed, scanned and never loaded", plural(len(flightdelay.Artifacts()), "file", "files"), bytesOf(total))
	for _, c := range flightdelay.Conversions() {
		body := httpapi.NewConversionBody{From: c.From, To: c.To, Tool: c.Tool, ToolVersion: c.ToolVersion, Equivalence: c.Equivalence}
		if err := owner.Post(ctx, demoVersion()+"/conversions", body, nil); err != nil {
			return err
		}
		st.screen.note("%s was made from %s by %s %s", c.To, c.From, c.Tool, c.ToolVersion)
	}
	report, err := st.imported(ctx, flightdelay.TraceFile)
	if err != nil {
		return err
	}
	made := 0
	for _, m := range report.Mapped {
		made += m.Created
	}
	st.screen.good("configuration-manager imports %s: %s to the requirements", flightdelay.TraceFile, plural(made, "link", "links"))
	return nil
}

// upload stores a file of the example and returns where.
func (st *stage) upload(ctx context.Context, who, file string) (o httpapi.StoredObject, err error) {
	text, err := flightdelay.Files.ReadFile(file)
	if err != nil {
		return o, err
	}
	a, err := st.people[who].Upload(ctx, "/v1/objects", bytes.NewReader(text), int64(len(text)), nil)
	if err != nil {
		return o, err
	}
	return o, a.Decode(&o)
}

func (st *stage) attach(ctx context.Context, f flightdelay.Artifact) (int64, error) {
	o, err := st.upload(ctx, "model-owner", f.File)
	if err != nil {
		return 0, err
	}
	return o.Size, st.people["model-owner"].Post(ctx, demoVersion()+"/artifacts",
		httpapi.NewArtifactBody{ObjectBody: httpapi.ObjectBody{Digest: o.Digest}, Name: f.File, Role: f.Role, MediaType: f.MediaType, Description: f.Description}, nil)
}

// why asks every gate of the freeze.
func (st *stage) why(ctx context.Context) (x hook.Explanation, err error) {
	return x, st.people["model-owner"].Get(ctx, demoVersion()+"/why/freeze", nil, &x)
}

// whyNot shows what stands between the version and its freeze.
func (st *stage) whyNot(ctx context.Context) error {
	st.screen.chapter("Why can it not be frozen yet?")
	x, err := st.why(ctx)
	if err != nil {
		return err
	}
	follow := 0
	for _, g := range x.Gates {
		switch {
		case g.Finding == nil:
		case g.Who == nil || len(g.Who.Roles) == 0: // they wait for what another gate waits for
			follow++
		default:
			st.screen.caught("%s: %s", g.Finding.Rule, g.Finding.Message)
			st.screen.note("can be cleared by %s", someOf(g.Who.Roles))
		}
	}
	st.screen.note("and %s that nobody can clear before", plural(follow, "gate", "gates"))
	if x.Would == hook.WouldRun {
		return fmt.Errorf("nothing speaks against freezing %s, which has no V&V report", frozenModel)
	}
	return nil
}

// whose says who registers a kind of document, and who decides about it, "" for nobody.
func whose(kind string) (by, decider string) {
	switch kind {
	case registry.KindVVReport, registry.KindVVPlan, registry.KindDefectList:
		return "vv-lead", ""
	case registry.KindSafetyAssessment:
		return "vv-lead", "safety-engineer"
	case registry.KindDocumentationReview:
		return "configuration-manager", "qa-lead"
	}
	return "model-owner", ""
}

// documents brings what the gates ask for, each from somebody who may.
func (st *stage) documents(ctx context.Context) error {
	st.screen.chapter("The documents, each from somebody who may")
	for _, d := range flightdelay.Documents() {
		if d.Kind == registry.KindVVReport {
			err := st.register(ctx, "model-owner", d)
			if err := st.refused("model-owner registers the V&V report of their own model", err); err != nil {
				return err
			}
		}
		by, decider := whose(d.Kind)
		if err := st.register(ctx, by, d); err != nil {
			return err
		}
		approved := ""
		if decider != "" {
			body := httpapi.DocumentDecisionBody{Approve: true, Version: d.Version, Statement: "read and approved"}
			if err := st.people[decider].Post(ctx, "/v1/documents/"+escape(d.ID)+"/decision", body, nil); err != nil {
				return err
			}
			approved = "; " + decider + " approves it with a second factor"
		}
		st.screen.good("%s registers %s, %s%s", by, d.ID, d.Title, approved)
	}
	return nil
}

func (st *stage) register(ctx context.Context, who string, d flightdelay.Document) error {
	o, err := st.upload(ctx, who, d.File)
	if err != nil {
		return err
	}
	return st.people[who].Post(ctx, "/v1/documents", httpapi.NewDocumentBody{ObjectBody: httpapi.ObjectBody{Digest: o.Digest}, DocumentID: d.ID, Version: d.Version, Kind: d.Kind,
		Title: d.Title, ModelID: frozenModel, ModelVersion: frozenVersion, MediaType: d.MediaType}, nil)
}

// freezeModel runs MODEL.FREEZE.
func (st *stage) freezeModel(ctx context.Context) error {
	st.screen.chapter("The freeze")
	x, err := st.why(ctx)
	if err != nil {
		return err
	}
	for _, g := range x.Gates {
		if !g.Pass && g.Gate != "authorised" { // whoever asks need not be who may
			return fmt.Errorf("%s cannot be frozen: %s", frozenModel, g.Finding.Message)
		}
	}
	st.screen.good("all %s hold now", plural(len(x.Gates), "gate", "gates"))
	const who = "configuration-manager"
	body, err := json.Marshal(hook.FreezeInput{ModelID: frozenModel, ModelVersion: frozenVersion, VVReportID: flightdelay.VVReport, VVStatus: "PASSED",
		FreezeRequester: who, FreezeRationale: "V&V is complete and every requirement is verified"})
	if err != nil {
		return err
	}
	st.screen.hook(hookFreeze, frozenModel+" "+frozenVersion, who)
	a, err := submit(ctx, st.people[who], submission{hook: hookFreeze, body: body})
	if err != nil {
		return err
	}
	run, err := execution(a.Body)
	if err != nil {
		return err
	}
	if run, err = st.watchSteps(ctx, who, run); err != nil {
		return err
	}
	var out hook.FreezeOutput
	if err := json.Unmarshal(run.Output, &out); err != nil || out.BaselineID == nil || out.DPPRecordID == nil {
		return fmt.Errorf("%s made no baseline or no passport: %v: %w", run.ID, run.Findings, err)
	}
	st.baseline, st.dpp = *out.BaselineID, *out.DPPRecordID
	for _, id := range run.Children {
		child, err := executionOf(ctx, st.people[who], id)
		if err != nil {
			return err
		}
		st.screen.hook(child.HookID, "started by the freeze", who)
		if _, err := st.watchSteps(ctx, who, child); err != nil {
			return err
		}
	}
	for _, f := range run.Findings {
		st.screen.note("%s: %s", f.Rule, f.Message)
	}
	return st.frozenTwice(ctx, who, body)
}

// executionOf reads an execution.
func executionOf(ctx context.Context, cl *client.Client, id string) (*engine.Execution, error) {
	a, err := cl.Do(ctx, client.Call{Method: http.MethodGet, Path: "/v1/executions/" + escape(id)})
	if err != nil {
		return nil, err
	}
	return execution(a.Body)
}

// frozenTwice tries to freeze the version again.
func (st *stage) frozenTwice(ctx context.Context, who string, body []byte) error {
	_, err := submit(ctx, st.people[who], submission{hook: hookFreeze, body: body})
	if caos.KindOf(err) != caos.Conflict {
		return fmt.Errorf("a second freeze of the version: %w", err)
	}
	st.screen.caught("a second freeze: %s", caos.AsError(err).Message)
	return nil
}

// someOf lists words, the first of many.
func someOf(words []string) string {
	const most = 3
	if len(words) <= most+1 {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d other roles", strings.Join(words[:most], ", "), len(words)-most)
}

// passport shows what anyone may read.
func (st *stage) passport(ctx context.Context) error {
	st.screen.chapter("Its passport, for anyone who holds the model")
	var p dpp.Passport
	if err := st.people["auditor"].Get(ctx, "/v1/passports/"+escape(st.dpp), nil, &p); err != nil {
		return err
	}
	var credential bytes.Buffer
	if _, err := st.people["auditor"].Download(ctx, "/dpp/"+escape(st.dpp)+"/credential", nil, &credential); err != nil {
		return err
	}
	name := filepath.Join(st.dir, st.dpp+".jsonld")
	if err := os.WriteFile(name, credential.Bytes(), 0o644); err != nil {
		return err
	}
	c, err := verify.CheckCredential(credential.Bytes(), st.trust)
	if err != nil {
		return err
	}
	st.screen.facts(pair{"passport", p.PassportID}, pair{"page", p.Page}, pair{"address", p.URI}, pair{"baseline", p.BaselineID},
		pair{"root", c.Subject.Baseline.RootDigest}, pair{"issuer", c.Issuer})
	st.screen.good("a W3C verifiable credential, checked with trust.json alone: %s", filepath.Base(name))
	return nil
}

// flipStored changes one bit of a stored file of the baseline, finds it, and puts it back.
func (st *stage) flipStored(ctx context.Context) error {
	st.screen.chapter("One bit of the frozen model changes on the disk")
	if err := st.verifyBaseline(ctx, ""); err != nil {
		return err
	}
	file := flightdelay.Artifacts()[slices.IndexFunc(flightdelay.Artifacts(), func(a flightdelay.Artifact) bool { return a.Role == "inference" })].File
	name := filepath.Join(st.data, "baselines", st.baseline, filepath.FromSlash(file))
	if err := flipBit(name); err != nil {
		return err
	}
	if err := st.verifyBaseline(ctx, file); err != nil {
		return err
	}
	if err := flipBit(name); err != nil {
		return err
	}
	return st.verifyBaseline(ctx, "")
}

// verifyBaseline has the server hash the baseline again. damaged is the file that must be
// named, "" for none.
func (st *stage) verifyBaseline(ctx context.Context, damaged string) error {
	var b registry.Baseline
	if err := st.people["auditor"].Post(ctx, "/v1/baselines/"+escape(st.baseline)+"/verify", nil, &b); err != nil {
		return err
	}
	if damaged == "" && len(b.Problems) == 0 {
		st.screen.good("auditor has %s hashed again: every byte is what was frozen", st.baseline)
		return nil
	}
	named := false
	for _, p := range b.Problems {
		named = named || strings.Contains(p, damaged)
		st.screen.caught("%s", p)
	}
	if damaged == "" || !named {
		return fmt.Errorf("the check of %s found %q", st.baseline, b.Problems)
	}
	var alerts httpapi.Page[map[string]any]
	if err := st.people["auditor"].Get(ctx, "/v1/alerts", nil, &alerts); err != nil {
		return err
	}
	st.screen.note("%s raised; the daily check of every baseline would have found it, too", plural(len(alerts.Items), "alert was", "alerts were"))
	return nil
}

// flipBit changes one bit in the middle of a file that is meant never to change.
func flipBit(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	text[len(text)/2] ^= 1
	if err := os.Chmod(name, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(name, text, 0o600); err != nil {
		return err
	}
	return os.Chmod(name, info.Mode().Perm())
}

// modelEvidence opens a package about the frozen model and collects what shows that its
// requirements are met.
func (st *stage) modelEvidence(ctx context.Context) error {
	st.screen.chapter("Evidence about the frozen model")
	var p evidence.Package
	cert := st.people["certification"]
	if err := cert.Post(ctx, "/v1/packages", httpapi.NewPackageBody{ModelID: frozenModel, Title: flightdelay.Name + ", " + frozenVersion}, &p); err != nil {
		return err
	}
	text, err := flightdelay.Files.ReadFile(flightdelay.TraceFile)
	if err != nil {
		return err
	}
	ids, err := column(bytes.NewReader(text), "Source_ID", []string{"Source_Type=Requirement"})
	if err != nil {
		return err
	}
	plan := httpapi.PlanBody{Requirements: ids, Source: "requirements in " + flightdelay.TraceFile}
	if _, err := st.people["vv-lead"].Do(ctx, client.Call{Method: http.MethodPut, Path: packagePath(p.PackageID) + "/plan", JSON: plan}); err != nil {
		return err
	}
	const report = "vv-report.json"
	if text, err = flightdelay.Files.ReadFile(report); err != nil {
		return err
	}
	it, err := st.collect(ctx, artifact{who: "vv-lead", file: report, text: text, model: frozenModel, pkg: p.PackageID, typ: evidence.Document, category: evidence.Verification,
		meta: evidence.Metadata{Title: "V&V report of " + frozenModel, Format: evidence.JSON, RequirementIDs: ids}})
	st.modelPkg, st.vvEvidence = p.PackageID, it.EvidenceID
	return err
}

// modelPackage writes the package about the frozen model: its baseline, its passport, and
// all that was decided about it go into it by themselves.
func (st *stage) modelPackage(ctx context.Context) error {
	st.screen.chapter("The package about the frozen model, with everything")
	var b bytes.Buffer
	if _, err := st.people["auditor"].Download(ctx, packagePath(st.modelPkg)+"/export", query("for", "authority"), &b); err != nil {
		return err
	}
	st.modelFile = filepath.Join(st.dir, st.modelPkg+".caospkg")
	if err := os.WriteFile(st.modelFile, b.Bytes(), 0o644); err != nil {
		return err
	}
	st.screen.good("%s, %s: the manifest of %s, the passport, the review's reports, every vote, signature and outcome", st.modelFile, bytesOf(int64(b.Len())), st.baseline)
	return nil
}

// proveModel checks the package about the frozen model offline. It must hold, and it must
// have the baseline and the passport in it.
func (st *stage) proveModel() error {
	file, err := os.ReadFile(st.modelFile)
	if err != nil {
		return err
	}
	r, err := st.check(file)
	if err != nil {
		return err
	}
	st.screen.say("%s, where the same holds, and besides:", filepath.Base(st.modelFile))
	about := 0
	for _, c := range r.Checks {
		if slices.Contains([]string{"baselines", "passports", "decisions", "outcomes", "reports"}, c.Name) {
			about++
			st.screen.good("%s", c.Says)
		}
	}
	if !r.OK || about != 5 || len(r.Outcomes) != 3 {
		return fmt.Errorf("%s does not hold, or lacks some of what was decided: %d of its checks, %d outcomes", st.modelFile, about, len(r.Outcomes))
	}
	for _, d := range r.Decisions {
		if strings.HasPrefix(d.What, "complete:") {
			continue // the answers of the checklist
		}
		how := "asserted by the server"
		if d.Proof == verify.ProofSSH {
			how = "own key " + d.Key[:min(len(d.Key), 18)] + "…"
		}
		st.screen.note("%s: %s, %s", d.Person, d.What, how)
	}
	for _, o := range r.Outcomes {
		st.screen.good("computed again from them: %s of %s: %s", o.OutcomeOf, o.Subject, o.Outcome)
	}
	return nil
}
