package hook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"caos"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/registry"
)

// A freeze links the data that a version was trained and validated on to it, and the version
// to its baseline. Which data that is, its artifacts say: one of role training-dataset or
// validation-dataset is either a file of that data, known by its digest, or a JSON descriptor
// that names it. What is not known is a finding and stops nothing: the lineage can be told
// later.

// Bounds of what is read of descriptors.
const (
	maxDescriptor   = 1 << 20 // bytes
	maxDescriptors  = 20      // artifacts that are read
	maxNamedData    = 100     // versions that one of them names
	maxDataFindings = 10
)

// dataRoles are the roles of artifacts that say what data a version comes from, with the edge
// that follows.
func dataRoles() map[string]string {
	return map[string]string{"training-dataset": dataset.EdgeTrainedOn, "validation-dataset": dataset.EdgeValidatedOn}
}

// namedData is a version of data as a descriptor names it: by id and number, by digest, or
// by both, which then have to agree.
type namedData struct {
	DatasetID string `json:"dataset_id,omitempty"`
	Version   int64  `json:"version,omitempty"`
	Digest    string `json:"digest,omitempty"`
	Origin    bool   `json:"origin,omitempty"` // not the data but what it was made from: it counts where the data itself is not known
}

// descriptor is the part of a data descriptor that is read: the data itself, or a list of
// them; and what they were made from. All of it may be left out.
type descriptor struct {
	descriptorEntry
	Source   *descriptorEntry  `json:"source"`
	Sources  []descriptorEntry `json:"sources"`
	Datasets []descriptorEntry `json:"datasets"`
}

// descriptorEntry names a version; the version may be a number or the text of one.
type descriptorEntry struct {
	DatasetID  string          `json:"dataset_id"`
	Version    json.RawMessage `json:"version"`
	Digest     string          `json:"digest"`
	RowsDigest string          `json:"rows_digest"` // of the rows in a form that the descriptor settles, which is a digest like any other
}

// named is the entry as a version of data, and whether it names one.
func (e descriptorEntry) named() (namedData, bool) {
	n := namedData{DatasetID: e.DatasetID, Digest: cmp.Or(e.Digest, e.RowsDigest)}
	if v, err := strconv.ParseInt(strings.Trim(string(e.Version), `"`), 10, 64); err == nil && v > 0 {
		n.Version = v
	}
	if len(n.DatasetID) > 200 || !db.Storable(n.DatasetID) || n.Version == 0 {
		n.DatasetID, n.Version = "", 0
	}
	if len(n.Digest) > 100 || !strings.HasPrefix(n.Digest, "SHA256:") || !db.Storable(n.Digest) {
		n.Digest = ""
	}
	return n, n.DatasetID != "" || n.Digest != ""
}

// readDescriptor returns what a descriptor names, in its order. What is no descriptor names
// nothing.
func readDescriptor(text []byte) (out []namedData) {
	if trimmed := bytes.TrimSpace(text); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil
	}
	var d descriptor
	// A member of another type than ours leaves the others to be read.
	if err := json.Unmarshal(text, &d); err != nil && !json.Valid(text) {
		return nil
	}
	take := func(origin bool, entries ...descriptorEntry) {
		for _, e := range entries {
			if n, ok := e.named(); ok && len(out) < maxNamedData {
				n.Origin = origin
				out = append(out, n)
			}
		}
	}
	take(false, d.descriptorEntry)
	take(false, d.Datasets...)
	if d.Source != nil {
		take(true, *d.Source)
	}
	take(true, d.Sources...)
	return out
}

// dataNamed reads the descriptors among a version's files, by path. One that cannot be read
// names nothing: its digest may still be known.
func (h *modelFreeze) dataNamed(ctx context.Context, files []frozenFile) map[string][]namedData {
	out := map[string][]namedData{}
	if h.datasets == nil {
		return out
	}
	left := maxDescriptors
	for _, f := range files {
		if dataRoles()[f.Role] == "" || f.Size > maxDescriptor || left == 0 {
			continue
		}
		left--
		r, _, err := h.objects.Open(f.Digest)
		if err != nil {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(readerUntil{ctx, r}, maxDescriptor))
		_ = r.Close() // was only read
		if named := readDescriptor(text); err == nil && len(named) > 0 {
			out[f.Path] = named
		}
	}
	return out
}

// linkLineage links data, version and baseline in the commit that freezes the version. Only
// a database that fails is an error.
func (h *modelFreeze) linkLineage(tx *db.Tx, r *engine.Run, s *freezeState, m *registry.Model) error {
	if h.datasets == nil {
		return nil
	}
	version := dataset.ModelVersionNode(s.In.ModelID, s.In.ModelVersion).In(m.Project, m.Classification)
	frozen := dataset.BaselineNode(s.BaselineID, s.Sealed.Root, s.FrozenAt).In(m.Project, m.Classification)
	edges := []dataset.Edge{{From: version, To: frozen, Kind: dataset.EdgeFrozenAs, ExecutionID: r.ExecutionID, At: s.FrozenAt}}
	var unknown []frozenFile
	trained := false
	for _, f := range s.Files {
		kind := dataRoles()[f.Role]
		if kind == "" {
			continue
		}
		trained = trained || kind == dataset.EdgeTrainedOn
		found, err := h.dataOf(tx, f, s.Data[f.Path], m.Project)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			unknown = append(unknown, f)
		}
		for _, n := range found {
			edges = append(edges, dataset.Edge{From: n, To: version, Kind: kind, ExecutionID: r.ExecutionID, At: s.FrozenAt})
		}
	}
	by := dataset.By{Actor: r.RequestedBy, RecordedBy: r.By.ID, Execution: r.ExecutionID, Hook: r.HookID}
	if err := h.datasets.Link(tx, edges, by); err != nil {
		if tx.Err() != nil {
			return err
		}
		r.Find(caos.Finding{Rule: "lineage-not-linked", Subject: s.BaselineID, Message: "the version is frozen, but its lineage was not written: " + caos.AsError(err).Message,
			Remedy: linkRemedy(s, "DATASET@N", "training")})
		return nil
	}
	if !trained {
		r.Find(caos.Finding{Rule: "training-data-unknown", Subject: s.BaselineID, Message: "no artifact of role training-dataset says what the version was trained on",
			Remedy: linkRemedy(s, "DATASET@N", "training")})
	}
	h.findUnknown(r, s, unknown)
	return nil
}

// findUnknown says which artifacts name data that the lineage does not know.
func (h *modelFreeze) findUnknown(r *engine.Run, s *freezeState, unknown []frozenFile) {
	for _, f := range unknown[:min(len(unknown), maxDataFindings)] {
		why := "it names no version of data by dataset_id and version, or by digest, and is no file of one"
		if len(s.Data[f.Path]) > 0 {
			why = "it names data that no pipeline here has read or published"
		}
		role := strings.TrimSuffix(f.Role, "-dataset")
		r.Find(caos.Finding{Rule: role + "-data-unknown", Subject: f.Path, Message: "the lineage does not know the data that " + f.Path + " is about: " + why,
			Remedy: linkRemedy(s, "DATASET@N", role)})
	}
	if more := len(unknown) - maxDataFindings; more > 0 {
		r.Find(caos.Finding{Rule: "training-data-unknown", Subject: s.BaselineID, Message: fmt.Sprintf("the data of %d more artifacts is not known either", more),
			Remedy: linkRemedy(s, "DATASET@N", "training")})
	}
}

func linkRemedy(s *freezeState, data, role string) string {
	return fmt.Sprintf("link it, which can be done at any time: caos lineage link %s %s --as %s", data, registry.VersionKey(s.In.ModelID, s.In.ModelVersion), role)
}

// dataOf returns the versions of data that an artifact is about, each once: those that it
// names, or the one whose file it is. Data of other projects is not looked at, as a digest
// must not tell what they have.
func (h *modelFreeze) dataOf(tx *db.Tx, f frozenFile, named []namedData, project string) (out []dataset.Node, err error) {
	seen := map[string]bool{}
	add := func(n *dataset.Node) {
		if n != nil && !seen[n.Key()] && (n.Project == project || n.Project == "") {
			seen[n.Key()] = true
			out = append(out, *n)
		}
	}
	known := false // the data itself: what it was made from is further up
	for _, d := range append([]namedData{{Digest: f.Digest}}, named...) {
		if d.Origin && known {
			continue
		}
		n, err := h.oneOf(tx, d, project)
		if err != nil {
			return nil, err
		}
		known = known || n != nil && !d.Origin
		add(n)
	}
	return out, nil
}

// oneOf returns the version of data that is named, nil if it is not known or not what is
// said of it. Of several with the same bytes it is a published one, and the latest.
func (h *modelFreeze) oneOf(tx *db.Tx, d namedData, project string) (*dataset.Node, error) {
	if d.DatasetID != "" {
		n, err := h.datasets.NodeIn(tx, dataset.NodeDatasetVersion+":"+d.DatasetID+"@"+strconv.FormatInt(d.Version, 10))
		if tx.Err() != nil {
			return nil, err
		}
		if err != nil || d.Digest != "" && d.Digest != n.Digest {
			return nil, nil
		}
		return n, nil
	}
	found, err := h.datasets.NodesByDigest(tx, d.Digest)
	if err != nil {
		return nil, err
	}
	var best *dataset.Node
	for i, n := range found {
		if n.Project != project && n.Project != "" {
			continue
		}
		if best == nil || best.Kind != dataset.NodeDatasetVersion && n.Kind == dataset.NodeDatasetVersion {
			best = &found[i]
		}
	}
	return best, nil
}
