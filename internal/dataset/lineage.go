package dataset

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
)

// Kinds of nodes of the lineage. Stored.
const (
	NodeDatasetVersion  = "dataset-version"  // DP-DLY-001.train@3
	NodeExternalVersion = "external-version" // ext:0123456789ab@1, see External
	NodeExecution       = "execution"        // EXEC-…
	NodeValidation      = "validation"       // VAL-EXEC-…
	NodeModelVersion    = "model-version"    // NN-DLY-001@1.0.0
	NodeBaseline        = "baseline"         // BL-DLY-1.0.0
)

// NodeKinds lists them, in the order in which data flows.
func NodeKinds() []string {
	return []string{NodeExternalVersion, NodeDatasetVersion, NodeExecution, NodeValidation, NodeModelVersion, NodeBaseline}
}

// Kinds of edges. Stored. An edge leads the way that data flows, from what was there to what
// came of it.
const (
	EdgeRead        = "READ"         // a version to the execution that read it
	EdgeWrote       = "WROTE"        // an execution to the version that it wrote
	EdgeValidated   = "VALIDATED"    // a version to the validation of it
	EdgeTrainedOn   = "TRAINED_ON"   // a version to the model version that was trained on it
	EdgeValidatedOn = "VALIDATED_ON" // a version to the model version that was validated on it
	EdgeFrozenAs    = "FROZEN_AS"    // a model version to its baseline
)

// edgeEnds says between which kinds of nodes an edge may lead.
func edgeEnds(kind string) (from, to []string) {
	data := []string{NodeDatasetVersion, NodeExternalVersion}
	switch kind {
	case EdgeRead:
		return data, []string{NodeExecution}
	case EdgeWrote:
		return []string{NodeExecution}, []string{NodeDatasetVersion}
	case EdgeValidated:
		return data, []string{NodeValidation}
	case EdgeTrainedOn, EdgeValidatedOn:
		return data, []string{NodeModelVersion}
	case EdgeFrozenAs:
		return []string{NodeModelVersion}, []string{NodeBaseline}
	}
	return nil, nil
}

// EdgeKinds lists the kinds of edges, in the order in which data flows.
func EdgeKinds() []string {
	return []string{EdgeRead, EdgeWrote, EdgeValidated, EdgeTrainedOn, EdgeValidatedOn, EdgeFrozenAs}
}

// Node is something that the lineage knows of.
type Node struct {
	Kind           string    `json:"kind"`   // one of NodeKinds
	ID             string    `json:"id"`     // in the form that its kind has
	Label          string    `json:"label"`  // short, for people; the id if empty
	URI            string    `json:"uri"`    // where data lies, "" for what is no data
	Digest         string    `json:"digest"` // SHA256:… of the content, "" for none
	Rows           *int64    `json:"rows"`   // nil if nobody counted
	Bytes          *int64    `json:"bytes"`
	Status         string    `json:"status"` // of an execution or a validation, such as SUCCESS or FAIL
	At             time.Time `json:"at"`     // when it came to be
	Project        string    `json:"project"`
	Classification string    `json:"classification"`

	// Files are the digests of its files, by which bytes that are met elsewhere are
	// recognised. They are written and never read back.
	Files []string `json:"-"`
}

// Key names a node among those of all kinds: "dataset-version:DP-DLY-001.train@3".
func (n Node) Key() string { return n.Kind + ":" + n.ID }

// Edge says that To came of From.
type Edge struct {
	From        Node
	To          Node
	Kind        string    // one of EdgeKinds
	ExecutionID string    // that made it; "" if a person linked the two
	At          time.Time // when; the store's now if zero
}

// VersionNode is a version of a dataset, with the scope that it has.
func VersionNode(v *Version) Node {
	rows, bytes := v.Rows, v.Bytes
	n := Node{Kind: NodeDatasetVersion, ID: v.DatasetID + "@" + strconv.FormatInt(v.N, 10), Label: v.DatasetID + " " + strconv.FormatInt(v.N, 10),
		URI: v.URI, Digest: v.Digest, Rows: &rows, Bytes: &bytes, At: v.PublishedAt, Project: v.Project, Classification: v.Classification}
	n.Files = digestsOf(v.Files)
	return n
}

// ExternalNode is a version of data that no pipeline here published.
func ExternalNode(x *External) Node {
	rows, bytes := x.Rows, x.Bytes
	n := Node{Kind: NodeExternalVersion, ID: x.ExternalID + "@" + strconv.FormatInt(x.N, 10), Label: lastPart(x.URI),
		URI: x.URI, Digest: x.Digest, Rows: &rows, Bytes: &bytes, At: x.FirstSeenAt, Project: x.Project, Classification: x.Classification}
	n.Files = digestsOf(x.Files)
	return n
}

func digestsOf(files []File) []string {
	out := make([]string, len(files))
	for i, f := range files {
		out[i] = f.Digest
	}
	return out
}

func lastPart(uri string) string {
	uri = strings.TrimRight(uri, "/")
	return uri[strings.LastIndexByte(uri, '/')+1:]
}

// ExecutionNode is an execution of a hook; the label is what ran, such as "DP-DLY-001 1.0".
func ExecutionNode(id, label, status string, at time.Time) Node {
	return Node{Kind: NodeExecution, ID: id, Label: label, Status: status, At: at}
}

// ModelVersionNode is a version of a model.
func ModelVersionNode(modelID, version string) Node {
	return Node{Kind: NodeModelVersion, ID: modelID + "@" + version, Label: modelID + " " + version}
}

// BaselineNode is what a version was frozen as.
func BaselineNode(id, rootDigest string, at time.Time) Node {
	return Node{Kind: NodeBaseline, ID: id, Label: id, Digest: rootDigest, At: at}
}

// ValidationNode is a validation, with the scope that it has.
func ValidationNode(v *Validation) Node {
	return Node{Kind: NodeValidation, ID: v.ValidationID, Label: v.ContractID + " " + v.ContractVersion, Status: v.Status, Digest: v.ReportJSON,
		At: v.ValidatedAt, Project: v.Project, Classification: v.Classification}
}

// In returns the node as one of a project and classification.
func (n Node) In(project, classification string) Node {
	n.Project, n.Classification = project, classification
	return n
}

// Bounds of what is linked at once, and of texts.
const (
	maxEdges     = 1000
	maxNodeFiles = 10000 // of all nodes of one call
	maxNodeID    = 300
	maxLabel     = 300
	maxURI       = 2000
)

// nodeID is what an id may be made of, whatever its kind.
var nodeID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@+-]*$`)

// check refuses what cannot be a node. Nodes are made by hooks, so that a refusal is a
// defect, but for ids, which people name.
func (n Node) check(field string) error {
	if err := caos.CheckWord(field, n.Kind, NodeKinds()); err != nil {
		return err
	}
	if len(n.ID) > maxNodeID || !nodeID.MatchString(n.ID) {
		return caos.Errorf(caos.Invalid, "%.80q cannot be the id of a node of the lineage", n.ID).WithField(field).
			WithHint("an id such as DP-DLY-001.train@3, NN-DLY-001@1.0.0 or EXEC-…")
	}
	if len(n.Label) > maxLabel || len(n.URI) > maxURI || len(n.Status) > 64 || len(n.Digest) > 100 {
		return caos.Errorf(caos.Invalid, "what is said of %.80s is too long", n.Key()).WithField(field)
	}
	return nil
}

// Link writes edges and the nodes at their ends, which lie in the direction that data flows,
// and records those that are new. What is there already stays: of a node that is linked
// again the gaps are filled, and its classification only rises. It may be called again with
// the same edges.
func (d *Datasets) Link(tx *db.Tx, edges []Edge, by By) error {
	return caos.Errorf(caos.Unavailable, "not there yet")
}
