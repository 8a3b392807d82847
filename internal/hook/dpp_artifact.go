package hook

import (
	"fmt"
	"io"
	"net/url"
	"path"
	"slices"
	"strings"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/dpp"
	"caos/internal/object"
	"caos/internal/registry"
)

// artifactAt is where the bytes of an artifact of a passport lie. Digest and Size are what
// the registry recorded of them, once they are resolved.
type artifactAt struct {
	URI      string `json:"uri"`
	Object   string `json:"object,omitempty"`   // digest of a stored object
	Baseline string `json:"baseline,omitempty"` // or a baseline and a file in it
	Path     string `json:"path,omitempty"`
	Digest   string `json:"digest,omitempty"`
	Size     int64  `json:"size,omitempty"`
}

// maxArtifactURI is the most bytes of an artifact's address.
const maxArtifactURI = 2000

// parseArtifacts reads the addresses of artifacts. Only what this installation keeps itself
// can be hashed again at any time, so other addresses are refused.
func parseArtifacts(uris []string, baseURL string) ([]artifactAt, error) {
	if len(uris) > dpp.MaxArtifacts {
		return nil, caos.Errorf(caos.TooLarge, "has %d entries, more than %d", len(uris), dpp.MaxArtifacts).WithField("artifacts")
	}
	out := make([]artifactAt, 0, len(uris))
	seen := map[artifactAt]int{}
	for i, uri := range uris {
		a, err := parseArtifact(uri, baseURL)
		if err != nil {
			return nil, caos.AsError(err).WithField(fmt.Sprintf("artifacts[%d]", i))
		}
		same := a
		same.URI = ""
		if first, twice := seen[same]; twice {
			return nil, caos.Errorf(caos.Invalid, "is the same artifact as artifacts[%d]", first).WithField(fmt.Sprintf("artifacts[%d]", i))
		}
		seen[same] = i
		out = append(out, a)
	}
	return out, nil
}

func parseArtifact(uri, baseURL string) (artifactAt, error) {
	a := artifactAt{URI: uri}
	refused := caos.Errorf(caos.Invalid, "%.120q is not the address of an artifact that is kept here", uri).
		WithHint("use object://SHA256:…, %s/v1/objects/SHA256:… or %s/v1/baselines/BL-…/files/PATH; upload other files to /v1/objects first", baseURL, baseURL)
	if uri == "" || len(uri) > maxArtifactURI {
		return a, refused
	}
	if digest, ok := strings.CutPrefix(uri, "object://"); ok {
		a.Object = digest
	} else {
		rest, ok := strings.CutPrefix(uri, baseURL+"/v1/")
		if !ok {
			rest, ok = strings.CutPrefix(uri, "/v1/")
		}
		// Queries and fragments would be another address for the same bytes.
		if !ok || strings.ContainsAny(rest, "?#") {
			return a, refused
		}
		kind, rest, _ := strings.Cut(rest, "/")
		switch kind {
		case "objects":
			a.Object, _ = url.PathUnescape(rest)
		case "baselines":
			id, file, ok := strings.Cut(rest, "/files/")
			if !ok {
				return a, refused
			}
			var err error
			if a.Path, err = url.PathUnescape(file); err != nil || a.Path == "" || path.IsAbs(a.Path) || path.Clean(a.Path) != a.Path || strings.HasPrefix(a.Path, "..") {
				return a, refused
			}
			a.Baseline = id
			if caos.CheckID("resource", "artifacts", id) != nil {
				return a, refused
			}
			return a, nil
		default:
			return a, refused
		}
	}
	if _, err := object.ParseDigest(a.Object); err != nil {
		return a, caos.AsError(err).WithHint("an object's address is object://SHA256: and 64 lower-case hexadecimal digits")
	}
	return a, nil
}

func (h *dppCreate) artifactsKnown(tx *db.Tx, q Question) (map[string]any, error) {
	req, err := h.request(q.Input)
	if err != nil {
		return nil, err
	}
	v, err := h.Registry.VersionIn(tx, req.ModelID, req.Version)
	if err != nil {
		return nil, err
	}
	if v.BaselineID == "" {
		return nil, caos.Errorf(caos.Conflict, "%s %s has no baseline", v.ModelID, v.Version).WithField("model_version").WithRule("passport-frozen")
	}
	b, err := h.Registry.BaselineIn(tx, v.BaselineID)
	if err != nil {
		return nil, err
	}
	for i, a := range req.Artifacts {
		if a.Object == "" {
			continue
		}
		if err := q.mayUse(tx, h.Objects, a.Object, fmt.Sprintf("artifacts[%d]", i)); err != nil {
			return nil, err
		}
	}
	got, err := h.resolved(req.Artifacts, b, func(digest string) ([]object.Binding, error) { return h.Objects.ReferencesIn(tx, digest) })
	return map[string]any{"baseline_id": b.BaselineID, "artifacts": len(got)}, err
}

// mayUse refuses an object that nothing keeps yet, unless the caller has sent its bytes or
// may read what is nobody's: a digest alone opens nothing. Who may use what is kept is for
// the noun that is asked to take it.
func (q Question) mayUse(tx *db.Tx, objects *object.Store, digest, field string) error {
	refs, err := objects.ReferencesIn(tx, digest)
	if err != nil || len(refs) > 0 {
		return err
	}
	sent, err := objects.SentByIn(tx, digest, q.By.ID)
	if err != nil || sent {
		return err
	}
	err = q.May(tx, "object:read", auth.Resource{Type: "Object", ID: digest})
	if caos.KindOf(err) == caos.Denied {
		return absentObject(digest).WithField(field)
	}
	return err
}

// resolved finds what is recorded of artifacts. None means all files of the baseline: a
// passport that has looked at nothing would prove nothing. refs tells what an object
// belongs to.
func (h *dppCreate) resolved(asked []artifactAt, b *registry.Baseline, refs func(digest string) ([]object.Binding, error)) ([]artifactAt, error) {
	files := make(map[string]registry.BaselineFile, len(b.Files))
	for _, f := range b.Files {
		files[f.Path] = f
	}
	if len(asked) == 0 {
		for _, f := range b.Files {
			asked = append(asked, artifactAt{URI: h.fileURI(b.BaselineID, f.Path), Baseline: b.BaselineID, Path: f.Path})
		}
	}
	if len(asked) == 0 || len(asked) > dpp.MaxArtifacts {
		return nil, caos.Errorf(caos.Invalid, "the baseline has %d files; a passport hashes 1 to %d artifacts", len(asked), dpp.MaxArtifacts).
			WithField("artifacts").WithHint("name the artifacts that the passport is to state")
	}
	out := make([]artifactAt, len(asked))
	for i, a := range asked {
		field := fmt.Sprintf("artifacts[%d]", i)
		if a.Baseline == "" {
			bound, err := refs(a.Object)
			if err != nil {
				return nil, err
			}
			if !belongs(bound, b.Project) {
				return nil, absentObject(a.Object).WithField(field)
			}
			a.Digest = a.Object
			out[i] = a
			continue
		}
		f, ok := files[a.Path]
		if a.Baseline != b.BaselineID || !ok {
			return nil, caos.Errorf(caos.NotFound, "%.200q is not a file of %s, the baseline of this version", a.URI, b.BaselineID).
				WithField(field).WithHint("GET /v1/baselines/%s lists its files", b.BaselineID)
		}
		a.Digest, a.Size = f.Digest, f.Size
		out[i] = a
	}
	return out, nil
}

// fileURI is the address of a baseline's file.
func (h *dppCreate) fileURI(baselineID, file string) string {
	parts := strings.Split(file, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return h.BaseURL + "/v1/baselines/" + url.PathEscape(baselineID) + "/files/" + strings.Join(parts, "/")
}

// belongs reports whether a project may name an object: something of it refers to the
// object, or nothing of anybody's does.
func belongs(bound []object.Binding, project string) bool {
	if len(bound) == 0 {
		return true
	}
	return slices.ContainsFunc(bound, func(b object.Binding) bool { return b.Project == "" || b.Project == project })
}

// absentObject is the one answer for an object that is not there and for one that belongs
// to others.
func absentObject(digest string) *caos.Error {
	return caos.Errorf(caos.NotFound, "there is no object %s for this model", digest).WithHint("upload it to /v1/objects")
}

// open opens the bytes of an artifact.
func (h *dppCreate) open(a artifactAt) (io.ReadSeekCloser, error) {
	if a.Baseline != "" {
		f, _, err := h.Baselines.Open(a.Baseline, a.Path)
		return f, err
	}
	f, _, err := h.Objects.Open(a.Object)
	return f, err
}
