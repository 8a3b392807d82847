package registry

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"caos"
	"caos/internal/codec"
)

// Bounds of documents that are read. What is longer is split by whoever writes it: a report
// by test campaign, a list by component.
const (
	maxReadable     = 4 << 20 // bytes
	maxReadNodes    = 400_000 // JSON values
	maxTests        = 10_000
	maxRequirements = 10_000
	maxDefects      = 10_000
	maxShown        = 100 // entries of a long list that gates are shown
)

// Parsed is what reading a document's bytes gave.
type Parsed struct {
	Kind      string          // as it was read
	Digest    string          // of the bytes that were read
	Size      int64           // bytes
	MediaType string          // of those that were read, "" for others
	Stated    string          // a V&V report's status
	Results   json.RawMessage // canonical JSON; nil for kinds that are not read
	VVReport  *VVReport       // of kind vv-report
	VVPlan    *VVPlan         // of kind vv-plan that is JSON or YAML
	Defects   *DefectList     // of kind defect-list

	facts  string // what gates look at, as it is stored; "" for kinds that are not read
	packed []byte // Results as they are stored
}

// Model is the id of the model that the document itself says it is about, "" if it says none.
func (p *Parsed) Model() string {
	switch {
	case p.VVReport != nil:
		return p.VVReport.ModelID
	case p.VVPlan != nil:
		return p.VVPlan.ModelID
	case p.Defects != nil:
		return p.Defects.ModelID
	}
	return ""
}

// ReadDocument reads an object as a document of a kind, strictly. V&V reports and defect
// lists are JSON of at most 4 MiB or YAML of at most 1 MiB; a V&V plan that lists its
// requirements in the same way is read too; of all others only the size is looked at. It
// reads files, so it is called outside any transaction. Errors: NotFound without the object,
// Invalid naming the field, TooLarge, Internal if the stored bytes are not those of the
// digest any more.
func (r *Registry) ReadDocument(ctx context.Context, kind, digest string) (*Parsed, error) {
	if err := checkKind(kind); err != nil {
		return nil, err
	}
	f, size, err := r.openObject("digest", digest)
	if err != nil {
		return nil, err
	}
	f.Close()
	p := &Parsed{Kind: kind, Digest: digest, Size: size}
	if kind != KindVVReport && kind != KindDefectList && kind != KindVVPlan {
		return p, ctx.Err()
	}
	if size > maxReadable && kind != KindVVPlan {
		return nil, caos.Errorf(caos.TooLarge, "the %s has %d bytes, more than %d", kind, size, maxReadable).WithField("digest").
			WithHint("split it, or leave logs and raw data to artifacts of their own")
	}
	body, _, err := r.objects.VerifyReader(digest)
	if err != nil {
		return nil, caos.AsError(err).WithField("digest")
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxReadable+1))
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "reading the document was stopped")
	}
	if size > maxReadable { // a plan: a book is no list, but a list that is too long must not be taken for a book
		if listsRequirements(data) {
			return nil, caos.Errorf(caos.TooLarge, "the %s has %d bytes, more than %d", kind, size, maxReadable).WithField("digest").
				WithHint("split it, or put what is no requirement into a document of its own")
		}
		return p, nil
	}
	return p, p.read(data)
}

// read parses the bytes of a kind that is read.
func (p *Parsed) read(data []byte) (err error) {
	var whole any
	switch p.Kind {
	case KindVVReport:
		if p.VVReport, err = ParseVVReport(data); err != nil {
			return err
		}
		p.Stated, whole, p.facts = p.VVReport.Status, p.VVReport, p.VVReport.facts().stored()
	case KindDefectList:
		if p.Defects, err = ParseDefectList(data); err != nil {
			return err
		}
		whole, p.facts = p.Defects, p.Defects.facts()
	case KindVVPlan:
		if p.VVPlan, err = ParseVVPlan(data); err != nil || p.VVPlan == nil {
			return err
		}
		whole, p.facts = p.VVPlan, p.VVPlan.facts()
	}
	p.MediaType = textType(data)
	if p.Results, err = codec.Canonical(whole); err != nil {
		return err
	}
	p.packed, err = pack(p.Results)
	return err
}

// pack compresses results, so that a transaction which stores them has little to carry.
func pack(results []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(results); err != nil {
		return nil, caos.Wrap(caos.Internal, err, "the results cannot be packed")
	}
	if err := w.Close(); err != nil {
		return nil, caos.Wrap(caos.Internal, err, "the results cannot be packed")
	}
	return b.Bytes(), nil
}

// unpack is the other way. Canonical JSON may be longer than what it was made of, but not by
// so much.
func unpack(packed []byte) (json.RawMessage, error) {
	if len(packed) == 0 {
		return nil, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("registry: read results: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(r, 16*maxReadable))
	if err != nil {
		return nil, fmt.Errorf("registry: read results: %w", err)
	}
	return out, nil
}

// textType tells JSON from YAML by the first character: every document here is an object.
func textType(data []byte) string {
	if b := bytes.TrimLeft(data, " \t\r\n"); len(b) > 0 && b[0] == '{' {
		return "application/json"
	}
	return "application/yaml"
}

// decodeStrict reads JSON or YAML into a type, refusing whatever the type does not have.
func decodeStrict(data []byte, into any) error {
	return codec.Decode(data, textType(data), into, readLimits(data))
}

// readLimits bounds a document. YAML gets the bounds of a request, because reading it takes
// a hundred times its length in memory.
func readLimits(data []byte) codec.Limits {
	if textType(data) == "application/yaml" {
		return codec.Limits{MaxDepth: 16}
	}
	return codec.Limits{MaxBytes: maxReadable, MaxDepth: 16, MaxNodes: maxReadNodes}
}

// inList names the element of a list that an error is about. It is called on errors alone.
func inList(name string, i int, err error) error {
	e := caos.AsError(err)
	field := name + "[" + strconv.Itoa(i) + "]"
	if e.Field != "" {
		field += "." + e.Field
	}
	return e.WithField(field)
}

// tooMany refuses a list that is too long.
func tooMany(field string, n, most int) error {
	if n <= most {
		return nil
	}
	return caos.Errorf(caos.TooLarge, "%d entries, more than %d", n, most).WithField(field).WithHint("split the document")
}

// checkTitle refuses what cannot stand on one line.
func checkTitle(field, v string) error { return checkLine(field, v, maxLine) }

// VVRequirement is a requirement that a V&V plan or report is about.
type VVRequirement struct {
	RequirementID string `json:"requirement_id"`
	Title         string `json:"title,omitempty"`
}

func checkRequirements(field string, list []VVRequirement) error {
	if err := tooMany(field, len(list), maxRequirements); err != nil {
		return err
	}
	seen := make(map[string]bool, len(list))
	for i, q := range list {
		if err := cmp.Or(checkRequirement("requirement_id", q.RequirementID), checkTitle("title", q.Title)); err != nil {
			return inList(field, i, err)
		}
		if seen[q.RequirementID] {
			return inList(field, i, caos.Errorf(caos.Invalid, "the requirement %s is listed twice", q.RequirementID).WithField("requirement_id"))
		}
		seen[q.RequirementID] = true
	}
	return nil
}

// VVPlan is the part of a V&V plan that is read: which requirements are to be verified.
type VVPlan struct {
	DocumentID   string          `json:"document_id,omitempty"`
	ModelID      string          `json:"model_id,omitempty"`
	ModelVersion string          `json:"model_version,omitempty"`
	Title        string          `json:"title,omitempty"`
	Requirements []VVRequirement `json:"requirements"`
}

// planList is how a YAML document begins the list that makes it a V&V plan.
var planList = regexp.MustCompile(`(?m)^requirements:`)

// listsRequirements reports whether text claims to be a V&V plan that can be read: JSON, or
// a line that no prose begins with.
func listsRequirements(data []byte) bool {
	return textType(data) == "application/json" || planList.Match(data)
}

// ParseVVPlan reads the requirements out of a V&V plan. Plans are written in many ways: one
// that is neither JSON nor has a line that begins with "requirements:" is nil, which is no
// error. One that is has to be right, or requirements would be lost in silence; only fields
// that are not known are left alone.
func ParseVVPlan(data []byte) (*VVPlan, error) {
	if !listsRequirements(data) {
		return nil, nil
	}
	v, err := codec.Value(data, textType(data), readLimits(data))
	if err != nil {
		return nil, err
	}
	top, ok := v.(map[string]any)
	if !ok || top["requirements"] == nil {
		return nil, caos.Errorf(caos.Invalid, "the plan lists no requirements").WithField("requirements").WithHint(`a list of {"requirement_id": …, "title": …}`)
	}
	p := &VVPlan{Requirements: []VVRequirement{}}
	for _, f := range []struct {
		name string
		into *string
	}{{"document_id", &p.DocumentID}, {"model_id", &p.ModelID}, {"model_version", &p.ModelVersion}, {"title", &p.Title}} {
		if *f.into, err = stringOf(top, f.name); err != nil {
			return nil, err
		}
	}
	items, ok := top["requirements"].([]any)
	if !ok {
		return nil, caos.Errorf(caos.Invalid, "the requirements are no list").WithField("requirements").WithHint(`a list of {"requirement_id": …, "title": …}`)
	}
	for i, item := range items {
		one, ok := item.(map[string]any)
		if !ok {
			return nil, inList("requirements", i, caos.Errorf(caos.Invalid, "not an object").WithHint(`{"requirement_id": …, "title": …}`))
		}
		id, err := stringOf(one, "requirement_id")
		if err != nil {
			return nil, inList("requirements", i, err)
		}
		title, err := stringOf(one, "title")
		if err != nil {
			return nil, inList("requirements", i, err)
		}
		p.Requirements = append(p.Requirements, VVRequirement{RequirementID: id, Title: title})
	}
	return p, p.check()
}

func stringOf(o map[string]any, field string) (string, error) {
	switch v := o[field].(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	}
	return "", caos.Errorf(caos.Invalid, "not a text").WithField(field)
}

func (p *VVPlan) check() error {
	if err := checkSubject(p.DocumentID, p.ModelID, p.ModelVersion); err != nil {
		return err
	}
	if err := checkTitle("title", p.Title); err != nil {
		return err
	}
	return checkRequirements("requirements", p.Requirements)
}

// checkSubject checks the ids that a document states of itself, as far as it states them.
func checkSubject(documentID, modelID, version string) error {
	if documentID != "" {
		if err := caos.CheckID("document", "document_id", documentID); err != nil {
			return err
		}
	}
	if modelID != "" {
		if err := caos.CheckID("model", "model_id", modelID); err != nil {
			return err
		}
	}
	if version != "" {
		if _, err := parseVersion("model_version", version); err != nil {
			return err
		}
	}
	return nil
}
