package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/httpapi"
	"caos/internal/mlflow"
	"caos/internal/registry"
)

// taking is what is said of a model version that is taken over from MLflow.
type taking struct {
	model, version, document string
	plain, dry               bool
	roles                    []string // PATTERN=ROLE
}

func modelImport(e *environment) *cobra.Command {
	var o taking
	c := &cobra.Command{
		Use: "import mlflow://HOST/NAME/VERSION", Short: "Take over a model version from an MLflow tracking server", Args: wants("mlflow://HOST/NAME/VERSION"),
		Long: "Reads a registered model version with its files, tags and run, and makes it a version of a model here: its files become the version's, and what MLflow states of it and its run " +
			"(metrics, parameters, tags, user, run id) becomes a document of kind other. That is what a stranger states: it is no V&V report and passes no gate. Repeating the command goes on where it stopped, and changes nothing otherwise.\n\n" +
			"The model must be registered here. It is --model, or the tag caos.model_id in MLflow, or the name there; the version is --version, or the tag caos.version, or VERSION.0.0. " +
			"Roles are guessed: MLmodel, environments and settings are configuration, the model's own files trained; --role says otherwise.\n\n" +
			"It speaks https. Credentials are read where MLflow's own client reads them: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN; " +
			"MLFLOW_TRACKING_SERVER_CERT_PATH names the server's authority. The server must serve the files itself (--serve-artifacts, its default).",
		Example: "  caos model import mlflow://mlflow.example.org/flight-delay/3 --model NN-DLY-001 --version 1.0.0\n" +
			"  caos model import mlflow://127.0.0.1:5000/flight-delay/3 --insecure-http --role 'model.onnx=inference'",
		RunE: func(c *cobra.Command, args []string) error { return e.takeOver(c.Context(), args[0], o) },
	}
	f := c.Flags()
	f.StringVar(&o.model, "model", "", "model that it becomes a version of")
	f.StringVar(&o.version, "version", "", "version that it becomes")
	f.StringArrayVar(&o.roles, "role", nil, "role of files whose path matches, as PATTERN=ROLE: '*.onnx=inference'; the first that fits counts")
	f.StringVar(&o.document, "document-id", "", "id of the document with what MLflow states; made from the address if left out")
	f.BoolVar(&o.plain, "insecure-http", false, "speak http: on the way files can be changed and passwords read")
	f.BoolVar(&o.dry, "dry-run", false, "only show what would be taken over, and as what")
	return c
}

// taken is the outcome, for programs.
type taken struct {
	Source     string      `json:"source"`
	ModelID    string      `json:"model_id"`
	Version    string      `json:"version"`
	Outcome    string      `json:"outcome"` // CREATED, UNCHANGED, or COMPLETED if some of it was there
	DryRun     bool        `json:"dry_run"`
	Files      []takenFile `json:"files"`
	LeftOut    []string    `json:"left_out"` // empty files, which are no artifacts
	DocumentID string      `json:"document_id"`
	Document   string      `json:"document_version"` // "" in a dry run
	Stated     int         `json:"facts"`            // metrics, parameters and tags in the document
}

type takenFile struct {
	Name    string `json:"name"`
	Role    string `json:"role"`
	Size    int64  `json:"size"`
	Digest  string `json:"digest"`  // "" in a dry run
	Outcome string `json:"outcome"` // CREATED or UNCHANGED; in a dry run CREATED or THERE
	Scan    string `json:"scan"`    // the worst finding
}

// word is what became of a file, or would.
func (f takenFile) word(dry bool) string {
	switch {
	case f.Outcome == "UNCHANGED":
		return "unchanged"
	case f.Outcome == "THERE":
		return "to compare"
	case dry:
		return "to add"
	}
	return "added"
}

// takeover is an import under way.
type takeover struct {
	e     *environment
	from  *mlflow.Client
	cl    *client.Client
	src   mlflow.Source
	model *mlflow.Version
	out   taken
	there map[string]registry.Artifact
	bar   *progressbar.ProgressBar
}

func (e *environment) takeOver(ctx context.Context, address string, o taking) error {
	src, err := mlflow.ParseSource(address)
	if err != nil {
		return err
	}
	rules, err := roleRules(o.roles)
	if err != nil {
		return err
	}
	if o.document != "" {
		if err := caos.CheckID("document", "document-id", o.document); err != nil {
			return err
		}
	}
	opt, err := e.mlflowOptions(o.plain)
	if err != nil {
		return err
	}
	cl, err := e.connect()
	if err != nil {
		return err
	}
	t := takeover{e: e, from: mlflow.New(src, opt), cl: cl, src: src, there: map[string]registry.Artifact{}}
	defer t.from.Close()
	looking := e.bar(-1, "reading "+src.String())
	_ = looking.Add(0)
	t.model, err = t.from.Version(ctx, src)
	_ = looking.Clear()
	if err != nil {
		return err
	}
	if err := t.plan(o, rules); err != nil {
		return err
	}
	if err := t.run(ctx); err != nil {
		return err
	}
	return e.giveValue(t.out, t.show)
}

// mlflowOptions are read from the environment as MLflow's client does.
func (e *environment) mlflowOptions(plain bool) (mlflow.Options, error) {
	opt := mlflow.Options{PlainHTTP: plain, Username: e.getenv("MLFLOW_TRACKING_USERNAME"), Password: e.getenv("MLFLOW_TRACKING_PASSWORD"),
		Token: e.getenv("MLFLOW_TRACKING_TOKEN"), Agent: "caos/" + version}
	name := e.getenv("MLFLOW_TRACKING_SERVER_CERT_PATH")
	if name == "" {
		return opt, nil
	}
	pem, err := os.ReadFile(name)
	if err != nil {
		return opt, caos.AsError(unreadable(name, err)).WithField("MLFLOW_TRACKING_SERVER_CERT_PATH")
	}
	opt.RootCAs = x509.NewCertPool()
	if !opt.RootCAs.AppendCertsFromPEM(pem) {
		return opt, usage("%s holds no certificate", name).WithField("MLFLOW_TRACKING_SERVER_CERT_PATH")
	}
	return opt, nil
}

// plan decides what becomes of what, before anything is changed.
func (t *takeover) plan(o taking, rules []roleRule) error {
	model, version := o.model, o.version
	if model == "" {
		model = t.model.Tag("caos.model_id")
	}
	if model == "" {
		model = t.model.Name
	}
	if err := caos.CheckID("model", "model", model); err != nil {
		return caos.AsError(err).WithHint("say with --model which model it is a version of, or set the tag caos.model_id in MLflow")
	}
	if version == "" {
		version = t.model.Tag("caos.version")
	}
	if version == "" {
		version = strconv.Itoa(t.src.Version) + ".0.0"
	}
	if err := caos.CheckID("version", "version", version); err != nil {
		return caos.AsError(err).WithHint("say with --version which version it becomes, such as 1.0.0")
	}
	t.out = taken{Source: t.src.String(), ModelID: model, Version: version, DryRun: o.dry, Files: []takenFile{}, LeftOut: []string{}, DocumentID: o.document}
	if t.out.DocumentID == "" {
		sum := sha256.Sum256([]byte(t.out.Source + " " + model + "@" + version))
		t.out.DocumentID = fmt.Sprintf("MLFLOW-%s-%d", hex.EncodeToString(sum[:6]), t.src.Version)
	}
	for _, f := range t.model.Files {
		if f.Size == 0 {
			t.out.LeftOut = append(t.out.LeftOut, f.Path)
			continue
		}
		if err := registry.CheckArtifactName("source", f.Path); err != nil {
			return caos.AsError(err).WithHint("log the model without this file; nothing was imported")
		}
		t.out.Files = append(t.out.Files, takenFile{Name: f.Path, Role: roleOf(f.Path, t.model.Flavors, rules), Size: f.Size})
	}
	if len(t.out.Files) == 0 {
		return usage("all files of the version are empty").WithField("source")
	}
	return nil
}

func (t *takeover) run(ctx context.Context) error {
	if err := t.openVersion(ctx); err != nil {
		return err
	}
	var total int64
	for _, f := range t.out.Files {
		total += f.Size
	}
	if t.out.DryRun {
		for i := range t.out.Files {
			if t.out.Files[i].Outcome = "CREATED"; t.there[t.out.Files[i].Name].Name != "" {
				t.out.Files[i].Outcome = "THERE"
			}
		}
		return nil
	}
	t.bar = t.e.bar(total, "importing")
	defer func() { _ = t.bar.Clear() }()
	for i := range t.out.Files {
		f := &t.out.Files[i]
		t.bar.Describe(path.Base(f.Name))
		if err := t.file(ctx, f); err != nil {
			return err
		}
		if f.Outcome == "CREATED" && t.out.Outcome == "UNCHANGED" {
			t.out.Outcome = "COMPLETED"
		}
	}
	return t.state(ctx)
}

// openVersion finds the version here, or makes it.
func (t *takeover) openVersion(ctx context.Context) error {
	var m registry.Model
	if err := t.cl.Get(ctx, modelPath(t.out.ModelID), nil, &m); err != nil {
		if caos.KindOf(err) == caos.NotFound {
			return caos.AsError(err).WithField("model").WithHint("register it first: caos model create %s --name NAME --safety-level LEVEL", t.out.ModelID)
		}
		return err
	}
	t.out.Outcome = "UNCHANGED"
	var v registry.Version
	err := t.cl.Get(ctx, versionPath(t.out.ModelID, t.out.Version), nil, &v)
	switch {
	case caos.KindOf(err) == caos.NotFound:
		if t.out.Outcome = "CREATED"; t.out.DryRun {
			return nil
		}
		text := "Imported from " + t.out.Source
		if t.model.Description != "" {
			text += "\n\n" + plain(t.model.Description, 3000)
		}
		return t.cl.Post(ctx, modelPath(t.out.ModelID)+"/versions", httpapi.NewVersionBody{Version: t.out.Version, Framework: framework(t.model.Flavors), Description: text}, nil)
	case err != nil:
		return err
	}
	list, _, err := unpaged[registry.Artifact](ctx, t.cl, versionPath(t.out.ModelID, t.out.Version)+"/artifacts", nil)
	if err != nil {
		return err
	}
	for _, a := range list {
		t.there[a.Name] = a
	}
	for _, f := range t.out.Files {
		if _, there := t.there[f.Name]; !there && v.State != registry.Registered {
			return caos.Errorf(caos.Conflict, "%s@%s is %s, and has no file %s", t.out.ModelID, t.out.Version, v.State, f.Name).WithField("version").
				WithHint("import it as a higher version with --version")
		}
	}
	return nil
}

// plain takes out what no text here may have, and cuts it to n bytes.
func plain(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return strings.ToValidUTF8(s[:min(len(s), n)], "")
}

// framework is what the model was made with: the first flavor that is more than a way to
// call it.
func framework(flavors []string) string {
	for _, f := range flavors {
		if f != "python_function" && len(f) <= 64 {
			return f
		}
	}
	return ""
}

// file brings a file over: what is there already is read again and compared.
func (t *takeover) file(ctx context.Context, f *takenFile) error {
	from, err := t.from.Open(ctx, t.model, mlflow.File{Path: f.Name, Size: f.Size})
	if err != nil {
		return err
	}
	defer from.Close()
	sum := sha256.New()
	r := &remembering{r: io.TeeReader(from, io.MultiWriter(sum, t.bar))}
	old, there := t.there[f.Name]
	var stored httpapi.StoredObject
	if there {
		_, err = io.Copy(io.Discard, r)
	} else {
		var a *client.Answer
		if a, err = t.cl.Upload(ctx, "/v1/objects", r, f.Size, nil); err == nil {
			err = a.Decode(&stored)
		}
	}
	if r.err != nil {
		return r.err // what MLflow's server did, not what the upload made of it
	}
	if err != nil {
		return err
	}
	f.Digest = "SHA256:" + hex.EncodeToString(sum.Sum(nil))
	at := attaching{t.out.ModelID, t.out.Version, httpapi.NewArtifactBody{Name: f.Name, Role: f.Role, MediaType: mediaType(f.Name), Source: plain(t.out.Source, 300)}}
	if there {
		if old.Digest != f.Digest {
			return otherBytes(at, old.Digest)
		}
		f.Outcome, f.Role, f.Scan = "UNCHANGED", old.Role, scanWord(old.Scan)
		return nil
	}
	if stored.Digest != f.Digest {
		return caos.Errorf(caos.Invalid, "the server has stored %s of %s, not %s; it was not attached", stored.Digest, f.Name, f.Digest).WithField("digest").
			WithHint("a proxy may change what passes: import it again")
	}
	at.body.Digest = f.Digest
	a, _, err := attach(ctx, t.cl, at)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	f.Outcome, f.Scan = "CREATED", scanWord(a.Scan)
	return nil
}

// remembering keeps the error of what is read, of which an upload only tells that it broke.
type remembering struct {
	r   io.Reader
	err error
}

func (m *remembering) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}

// statement is what MLflow states of the version: the bytes of the document. It says
// nothing of when it was read, so that the same state gives the same bytes.
type statement struct {
	Kind    string          `json:"kind"` // mlflow-model-version
	Source  string          `json:"source"`
	ModelID string          `json:"model_id"`
	Version string          `json:"model_version"`
	Digests []statedFile    `json:"files"`
	States  *mlflow.Version `json:"states"`
}

type statedFile struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	Digest string `json:"digest,omitempty"` // none of an empty file
}

// state registers what MLflow states as a document, if that is not done yet.
func (t *takeover) state(ctx context.Context) error {
	said := *t.model
	said.Files = nil // they are in the statement with their digests
	s := statement{Kind: "mlflow-model-version", Source: t.out.Source, ModelID: t.out.ModelID, Version: t.out.Version, States: &said}
	digests := map[string]string{}
	for _, f := range t.out.Files {
		digests[f.Name] = f.Digest
	}
	for _, f := range t.model.Files {
		s.Digests = append(s.Digests, statedFile{f.Path, f.Size, digests[f.Path]})
	}
	t.out.Stated = len(t.model.Tags) + len(t.model.ModelTags)
	if r := t.model.Run; r != nil {
		t.out.Stated += len(r.Metrics) + len(r.Params) + len(r.Tags)
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write the statement: %w", err)
	}
	sum := sha256.Sum256(text)
	b := httpapi.NewDocumentBody{DocumentID: t.out.DocumentID, Version: "1.0", Kind: "other", Title: fmt.Sprintf("What MLflow states of %s version %d", t.src.Name, t.src.Version),
		ModelID: t.out.ModelID, ModelVersion: t.out.Version, MediaType: "application/json", ObjectBody: httpapi.ObjectBody{Digest: "SHA256:" + hex.EncodeToString(sum[:])}}
	var old registry.Document
	err = t.cl.Get(ctx, documentPath(b.DocumentID), nil, &old)
	switch {
	case caos.KindOf(err) == caos.NotFound:
	case err != nil:
		return err
	case old.Digest == b.Digest:
		t.out.Document = old.Version
		return nil
	default:
		if b.Version = laterDocument(old.Version); t.out.Outcome == "UNCHANGED" {
			t.out.Outcome = "COMPLETED"
		}
	}
	a, err := t.cl.Upload(ctx, "/v1/objects", bytes.NewReader(text), int64(len(text)), sum[:])
	if err != nil {
		return err
	}
	if err := sameDigest(a, b.Digest); err != nil {
		return err
	}
	t.out.Document = b.Version
	return t.cl.Post(ctx, "/v1/documents", b, nil)
}

// laterDocument is the version of a document after another: 1.1 after 1.0.
func laterDocument(v string) string {
	major, minor, _ := strings.Cut(v, ".")
	minor, _, _ = strings.Cut(minor, ".")
	n, err := strconv.Atoi(minor)
	if err != nil {
		n = 0
	}
	return major + "." + strconv.Itoa(n+1)
}

// show writes the outcome for people.
func (t *takeover) show() {
	e, o := t.e, &t.out
	e.pairs(pair{"from", o.Source}, pair{"to", o.ModelID + "@" + o.Version}, pair{"made with", strings.Join(t.model.Flavors, ", ")}, pair{"run", runLine(t.model.Run)})
	e.line("")
	e.fitted([]string{"file", "role", "size", "outcome", "scan", "digest"}, rowsOf(o.Files, func(f takenFile) []string {
		return []string{f.Name, f.Role, bytesOf(f.Size), f.word(o.DryRun), orDash(f.Scan), orDash(short(f.Digest))}
	}), "size", "scan")
	for _, name := range o.LeftOut {
		e.line("%s %s is empty and was left out", e.paint.warn("note:"), clean(name))
	}
	e.line("")
	if o.DryRun {
		e.line("%s", e.paint.warn("Dry run: nothing was taken over."))
		return
	}
	e.prose("What MLflow states of it (%s) is the document %s %s.", plural(o.Stated, "fact", "facts"), o.DocumentID, o.Document)
	switch o.Outcome {
	case "UNCHANGED":
		e.line("%s", e.paint.good("It was there already: nothing has changed."))
	case "COMPLETED":
		e.line("%s", e.paint.good("Completed: a part of it was there already."))
	default:
		e.line("%s", e.paint.good("Imported."))
	}
}

func runLine(r *mlflow.Run) string {
	if r == nil {
		return ""
	}
	s := r.Name + " " + r.RunID
	if r.User != "" {
		s += " by " + r.User
	}
	return strings.TrimSpace(s) + fmt.Sprintf(", %s, %s", plural(len(r.Metrics), "metric", "metrics"), plural(len(r.Params), "parameter", "parameters"))
}

// roleRule gives files a role.
type roleRule struct{ pattern, role string }

func roleRules(flags []string) ([]roleRule, error) {
	var rules []roleRule
	for _, s := range flags {
		i := strings.LastIndexByte(s, '=')
		if i <= 0 {
			return nil, usage("%q is not PATTERN=ROLE", s).WithField("role").WithHint("such as 'data/*.onnx=inference'")
		}
		if _, err := path.Match(s[:i], ""); err != nil {
			return nil, usage("%q is no pattern", s[:i]).WithField("role").WithHint("* and ? stand for parts of a name, [a-z] for a range")
		}
		if err := oneOf("role", s[i+1:], registry.ArtifactRoles()...); err != nil {
			return nil, err
		}
		rules = append(rules, roleRule{s[:i], s[i+1:]})
	}
	return rules, nil
}

// roleOf guesses what a file of an MLflow model is to it. A rule matches the whole path, or
// the last name of it if it has no slash.
func roleOf(name string, flavors []string, rules []roleRule) string {
	base := path.Base(name)
	for _, r := range rules {
		for _, s := range []string{name, base} {
			if ok, err := path.Match(r.pattern, s); err == nil && ok {
				return r.role
			}
		}
	}
	ext := strings.ToLower(path.Ext(base))
	switch {
	case slices.Contains([]string{"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "registered_model_meta"}, base),
		slices.Contains([]string{".yaml", ".yml", ".toml", ".ini", ".cfg"}, ext), strings.HasSuffix(base, "config.json"), strings.HasPrefix(base, "tokenizer"):
		return "configuration"
	case strings.Contains(base, "input_example"):
		return "other"
	case slices.Contains([]string{
		".onnx", ".pkl", ".pickle", ".joblib", ".skops", ".pt", ".pth", ".ckpt", ".safetensors", ".h5", ".hdf5", ".keras", ".pb", ".tflite", ".gguf", ".bin", ".ubj", ".xgb",
		".cbm", ".bst", ".lgb", ".npy", ".npz", ".msgpack",
	}, ext):
		return "trained"
	case ext == "" && (strings.HasPrefix(name, "data/") || strings.HasPrefix(base, "model")), base == "model.json" && !slices.Contains(flavors, "onnx"),
		strings.HasPrefix(base, "variables.data-"):
		return "trained"
	}
	return "other"
}
