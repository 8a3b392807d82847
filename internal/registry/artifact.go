package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/modelfile"
	"caos/internal/object"
)

const (
	maxArtifacts = 1000     // of a version
	maxName      = 200      // bytes of an artifact's name
	maxScan      = 16 << 10 // bytes of a report about an artifact
	maxFindings  = 20       // of a report that is longer
)

// Artifact is one file of a version.
type Artifact struct {
	ModelID     string            `json:"model_id"`
	Version     string            `json:"version"`
	Name        string            `json:"name"` // relative path with slashes, unique in the version
	Role        string            `json:"role"` // one of Roles
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"` // bytes
	MediaType   string            `json:"media_type"`
	Format      string            `json:"format"` // as found by the scan
	Source      string            `json:"source"` // where it came from, in words or as an address without secrets
	Description string            `json:"description"`
	Scan        *modelfile.Report `json:"scan"`
	AddedAt     time.Time         `json:"added_at"`
	AddedBy     string            `json:"added_by"`
}

// ArtifactRoles lists what an artifact may be for.
func ArtifactRoles() []string {
	return []string{
		"trained", "converted", "inference", "architecture", "weights", "configuration", "training-dataset", "validation-dataset",
		"test-results", "training-log", "traceability-matrix", "safety-document", "design-document", "other",
	}
}

// CheckArtifactName returns an Invalid error that names field unless name can be the path of
// a file below a folder, on every system: relative, with slashes, without empty parts, dots
// in front, or characters that some file system or shell treats specially.
func CheckArtifactName(field, name string) error {
	bad := func(why string) error {
		return caos.Errorf(caos.Invalid, "%.80q cannot be the name of an artifact: %s", name, why).WithField(field).
			WithHint("a relative path of letters, digits, spaces and ._-+=@~#,()[] with slashes between folders, such as onnx/model.onnx")
	}
	if name == "" || len(name) > maxName {
		return bad(fmt.Sprintf("it has to have 1 to %d bytes", maxName))
	}
	if strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-+=@~#,()[] /", r))
	}) {
		return bad("it has other characters")
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "":
			return bad("it is not relative or has an empty part")
		case part[0] == '.' || part[0] == ' ' || part[0] == '-':
			return bad("a part begins with a dot, a space or a dash")
		case strings.HasSuffix(part, ".") || strings.HasSuffix(part, " "):
			return bad("a part ends with a dot or a space")
		case len(part) > 100:
			return bad("a part has more than 100 bytes")
		}
	}
	return nil
}

func (a *Artifact) check() error {
	if err := CheckArtifactName("name", a.Name); err != nil {
		return err
	}
	if err := caos.CheckWord("role", a.Role, ArtifactRoles()); err != nil {
		return err
	}
	if err := checkDigest("digest", a.Digest); err != nil {
		return err
	}
	if a.Size <= 0 {
		return empty("digest")
	}
	if a.Scan == nil {
		return caos.Errorf(caos.Internal, "an artifact is attached without having been inspected")
	}
	if a.MediaType != "" {
		if err := checkMediaType("media_type", a.MediaType); err != nil {
			return err
		}
	}
	if err := checkLine("source", a.Source, 2000); err != nil {
		return err
	}
	return checkText("description", a.Description)
}

func empty(field string) error {
	return caos.Errorf(caos.Invalid, "the object has no bytes").WithField(field).WithHint("upload the file again: an empty file proves nothing")
}

func checkDigest(field, digest string) error {
	_, err := object.ParseDigest(digest)
	if err == nil {
		return nil
	}
	return caos.AsError(err).WithField(field)
}

func checkMediaType(field, mt string) error {
	if len(mt) <= 100 {
		if _, _, err := mime.ParseMediaType(mt); err == nil && !strings.ContainsAny(mt, "\r\n") {
			return nil
		}
	}
	return caos.Errorf(caos.Invalid, "%.80q is not a media type", mt).WithField(field).WithHint("such as application/octet-stream")
}

// Inspect scans an object that is to become an artifact, without loading it, and returns
// its size in bytes. It reads files, so it is called outside any transaction. Errors:
// Invalid for a digest or name of the wrong form and for zero bytes, NotFound without the
// object.
func (r *Registry) Inspect(ctx context.Context, digest, name string) (int64, *modelfile.Report, error) {
	if err := CheckArtifactName("name", name); err != nil {
		return 0, nil, err
	}
	f, size, err := r.openObject("digest", digest)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	at, ok := f.(io.ReaderAt)
	if !ok {
		at = &seekReaderAt{f: f}
	}
	report, err := modelfile.Inspect(ctx, name, at, size)
	if err != nil {
		return 0, nil, caos.Wrap(caos.Unavailable, err, "the artifact cannot be scanned").WithField("digest")
	}
	return size, report, nil
}

// openObject opens an object that holds at least one byte.
func (r *Registry) openObject(field, digest string) (io.ReadSeekCloser, int64, error) {
	if err := checkDigest(field, digest); err != nil {
		return nil, 0, err
	}
	f, size, err := r.objects.Open(digest)
	if err != nil {
		return nil, 0, caos.AsError(err).WithField(field)
	}
	if size == 0 {
		f.Close()
		return nil, 0, empty(field)
	}
	return f, size, nil
}

// seekReaderAt reads at places of what can only seek, for one reader at a time.
type seekReaderAt struct{ f io.ReadSeeker }

// ReadAt is io.ReaderAt's.
func (s *seekReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if _, err := s.f.Seek(off, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(s.f, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// scanned is a report as it is stored: one that is too long loses its summary and all but
// its worst findings, and says so.
func scanned(report *modelfile.Report) (*modelfile.Report, string, error) {
	raw, err := json.Marshal(report)
	if err != nil {
		return nil, "", caos.Wrap(caos.Internal, err, "the report about the artifact cannot be written")
	}
	if len(raw) <= maxScan {
		return report, string(raw), nil
	}
	short := *report
	short.Summary = nil
	short.Findings = slices.Clone(report.Findings)
	slices.SortStableFunc(short.Findings, func(a, b modelfile.Finding) int {
		return cmp.Compare(weight(string(b.Severity)), weight(string(a.Severity)))
	})
	if dropped := len(short.Findings) - maxFindings; dropped > 0 {
		short.Findings = append(short.Findings[:maxFindings], modelfile.Finding{Rule: "more-findings", Severity: modelfile.Low,
			Message: fmt.Sprintf("%d further findings are not kept", dropped)})
	}
	for i, f := range short.Findings {
		f.Message, f.Remedy = clip(f.Message), clip(f.Remedy)
		short.Findings[i] = f
	}
	raw, err = json.Marshal(short)
	return &short, string(raw), err
}

// weight orders severities, the heaviest highest.
func weight(severity string) int {
	return 1 + slices.Index([]string{"LOW", "MEDIUM", "HIGH", "CRITICAL"}, severity)
}

// Attach adds a file to a version and binds its object. Size, Format and Scan are what
// Inspect returned. The same name with the same digest and role changes nothing. Errors:
// NotFound, Invalid naming the field, TooLarge, Conflict for another digest or role under
// the name, once the version is not REGISTERED any more, and while a freeze has it.
func (r *Registry) Attach(tx *db.Tx, modelID, version string, a Artifact, by By) (*Artifact, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	v, err := r.VersionIn(tx, modelID, version)
	if err != nil {
		return nil, err
	}
	there, err := r.named(tx, modelID, version, a.Name)
	if err != nil {
		return nil, err
	}
	if there != nil {
		if there.Name == a.Name && there.Digest == a.Digest && there.Role == a.Role {
			return there, nil
		}
		return nil, caos.Errorf(caos.Conflict, "%s has an artifact %s already, as %s with the digest %s", VersionKey(modelID, version), there.Name, there.Role, there.Digest).
			WithField("name").WithHint("take it out first, or use another name; on some systems names that differ in case alone are one file")
	}
	if err := v.mayChange(); err != nil {
		return nil, err
	}
	if v.Artifacts >= maxArtifacts {
		return nil, caos.Errorf(caos.TooLarge, "%s has %d artifacts, more are not kept", VersionKey(modelID, version), maxArtifacts).WithField("name").
			WithHint("put many small files into one archive")
	}
	report, scan, err := scanned(a.Scan)
	if err != nil {
		return nil, err
	}
	a.ModelID, a.Version, a.Scan, a.Format, a.AddedAt, a.AddedBy = modelID, version, report, string(report.Format), r.now(), by.Actor
	if a.MediaType == "" {
		a.MediaType = "application/octet-stream"
	}
	r.touch(tx, v)
	tx.Exec(`INSERT INTO model_artifacts (model_id, version, name, role, digest, size, media_type, format, source, description, scan, added_at, added_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		modelID, version, a.Name, a.Role, a.Digest, a.Size, a.MediaType, a.Format, a.Source, a.Description, scan, db.Micros(a.AddedAt), a.AddedBy)
	if err := r.objects.Bind(tx, object.Ref{Digest: a.Digest, Size: a.Size}, object.Binding{
		Owner: VersionKey(modelID, version), Kind: "artifact", Project: v.Project, Classification: v.Classification,
	}); err != nil {
		return nil, err
	}
	return &a, r.recordVersion(tx, by, v, note{Event: "artifact attached", Details: map[string]any{
		"name": a.Name, "role": a.Role, "digest": a.Digest, "size": a.Size, "format": a.Format, "code": report.Code, "findings": len(report.Findings),
		"source": clip(a.Source), "revision": v.Revision,
	}})
}

// named returns the artifact of a version that is in the way of a name: one that differs in
// case alone, or a file where the other needs a folder. nil means that the name is free.
func (r *Registry) named(tx *db.Tx, modelID, version, name string) (*Artifact, error) {
	taken := ""
	err := tx.Query(`SELECT name FROM model_artifacts WHERE model_id = $1 AND version = $2`, []any{modelID, version}, func(scan func(...any) error) error {
		var other string
		err := scan(&other)
		if taken != name && clash(other, name) {
			taken = other
		}
		return err
	})
	if err != nil || taken == "" {
		return nil, err
	}
	var a *Artifact
	err = tx.Query(`SELECT `+artifactColumns+` FROM model_artifacts WHERE model_id = $1 AND version = $2 AND name = $3`, []any{modelID, version, taken},
		func(scan func(...any) error) (err error) {
			a, err = scanArtifact(scan)
			return err
		})
	return a, err
}

// clash reports whether two names cannot both be files of one folder everywhere.
func clash(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	return a == b || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/")
}

// Detach takes a file out of a version, and with it the conversion records that name it. Its
// bytes stay bound: they are part of the version's history. Errors: NotFound, Conflict as
// for Attach.
func (r *Registry) Detach(tx *db.Tx, modelID, version, name string, by By) error {
	if err := CheckArtifactName("name", name); err != nil {
		return err
	}
	v, err := r.open(tx, modelID, version)
	if err != nil {
		return err
	}
	used, err := tx.ExecRows(`DELETE FROM model_conversions WHERE model_id = $1 AND version = $2 AND (from_name = $3 OR to_name = $4)`, modelID, version, name, name)
	if err != nil {
		return err
	}
	n, err := tx.ExecRows(`DELETE FROM model_artifacts WHERE model_id = $1 AND version = $2 AND name = $3`, modelID, version, name)
	if err != nil {
		return err
	}
	if n == 0 {
		return caos.Errorf(caos.NotFound, "%s has no artifact %s", VersionKey(modelID, version), name).WithField("name")
	}
	r.touch(tx, v)
	return r.recordVersion(tx, by, v, note{Event: "artifact detached", Details: map[string]any{"name": name, "conversions": used, "revision": v.Revision}})
}

const artifactColumns = `model_id, version, name, role, digest, size, media_type, format, source, description, scan, added_at, added_by`

func scanArtifact(scan func(...any) error) (*Artifact, error) {
	var a Artifact
	var report string
	var added int64
	err := scan(&a.ModelID, &a.Version, &a.Name, &a.Role, &a.Digest, &a.Size, &a.MediaType, &a.Format, &a.Source, &a.Description, &report, &added, &a.AddedBy)
	if err != nil {
		return nil, err
	}
	a.AddedAt = db.Moment(added)
	if err := json.Unmarshal([]byte(report), &a.Scan); err != nil {
		return nil, fmt.Errorf("registry: read scan of %s: %w", a.Name, err)
	}
	return &a, nil
}

func artifacts(q query, modelID, version string) ([]*Artifact, error) {
	if _, err := getVersion(q, modelID, version); err != nil {
		return nil, err
	}
	return artifactsOf(q, modelID, version)
}

// artifactsOf lists the files of a version that is there.
func artifactsOf(q query, modelID, version string) ([]*Artifact, error) {
	out := []*Artifact{}
	err := q(`SELECT `+artifactColumns+` FROM model_artifacts WHERE model_id = $1 AND version = $2`, []any{modelID, version},
		func(scan func(...any) error) error {
			a, err := scanArtifact(scan)
			out = append(out, a)
			return err
		})
	slices.SortFunc(out, func(a, b *Artifact) int { return cmp.Compare(a.Name, b.Name) }) // databases differ in how they sort text
	return out, err
}

// Artifacts lists the files of a version by name, all of them, or returns a NotFound error.
func (r *Registry) Artifacts(ctx context.Context, modelID, version string) ([]*Artifact, error) {
	return artifacts(r.pool(ctx), modelID, version)
}

// ArtifactsIn lists them as a transaction sees them.
func (r *Registry) ArtifactsIn(tx *db.Tx, modelID, version string) ([]*Artifact, error) {
	return artifacts(within(tx), modelID, version)
}
