package dataset

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/auditlog"
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
	maxNodeID    = 250   // what an audit record names
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

// checkEdge refuses what cannot be an edge.
func checkEdge(e Edge) error {
	from, to := edgeEnds(e.Kind)
	if from == nil {
		return caos.CheckWord("kind", e.Kind, EdgeKinds())
	}
	if err := cmp.Or(e.From.check("from"), e.To.check("to")); err != nil {
		return err
	}
	if !slices.Contains(from, e.From.Kind) || !slices.Contains(to, e.To.Kind) {
		return caos.Errorf(caos.Invalid, "%s does not lead from %s to %s", e.Kind, e.From.Kind, e.To.Kind).WithField("kind").
			WithHint("edges lead the way that data flows: READ from a version to the execution, WROTE from the execution to the version")
	}
	return nil
}

// Link writes edges and the nodes at their ends, and records those that are new. What is
// there already stays: of a node that is linked again the gaps are filled, its status is
// the newer one, and its classification only rises. It may be called again with the same
// edges. Errors: Invalid for edges that cannot be, Internal for more than 1,000 at once.
func (d *Datasets) Link(tx *db.Tx, edges []Edge, by By) error {
	if len(edges) == 0 {
		return nil
	}
	if len(edges) > maxEdges {
		return caos.Errorf(caos.Internal, "%d edges are linked at once, the most is %d", len(edges), maxEdges)
	}
	nodes, order, files := map[string]Node{}, []string{}, 0
	for _, e := range edges {
		if err := checkEdge(e); err != nil {
			return err
		}
		for _, n := range []Node{e.From, e.To} {
			if _, there := nodes[n.Key()]; !there {
				nodes[n.Key()] = n
				order = append(order, n.Key())
				files += len(n.Files)
			}
		}
	}
	there, err := edgesInto(tx, edges)
	if err != nil {
		return err
	}
	for _, key := range order {
		n := nodes[key]
		if files > maxNodeFiles { // of that many only the content as a whole is recognised
			n.Files = nil
		}
		putNode(tx, n)
	}
	var fresh []Edge
	now := d.now()
	for _, e := range edges {
		k := edgeKey{e.From.Key(), e.To.Key(), e.Kind}
		if there[k] {
			continue
		}
		there[k] = true
		if e.At.IsZero() {
			e.At = now
		}
		tx.Exec(`INSERT INTO lineage_edges (from_node, to_node, kind, execution_id, at, linked_by) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (from_node, to_node, kind) DO NOTHING`, k.from, k.to, k.kind, e.ExecutionID, db.Micros(e.At), by.Actor)
		fresh = append(fresh, e)
	}
	if len(fresh) == 0 {
		return nil
	}
	return d.record(tx, by, linkRecord(fresh))
}

// edgeKey is what makes an edge.
type edgeKey struct{ from, to, kind string }

// edgesInto returns which of edges are there. Few ends have all of them, and nothing is made
// from more than a call links.
func edgesInto(tx *db.Tx, edges []Edge) (map[edgeKey]bool, error) {
	out, asked := map[edgeKey]bool{}, map[string]bool{}
	for _, e := range edges {
		to := e.To.Key()
		if asked[to] {
			continue
		}
		asked[to] = true
		err := tx.Query(`SELECT from_node, kind FROM lineage_edges WHERE to_node = $1 ORDER BY from_node, kind LIMIT 5000`, []any{to}, func(scan func(...any) error) error {
			k := edgeKey{to: to}
			err := scan(&k.from, &k.kind)
			out[k] = true
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// putNode writes a node beside what is known of it.
func putNode(tx *db.Tx, n Node) {
	count := func(p *int64) int64 {
		if p == nil {
			return -1
		}
		return *p
	}
	if n.Classification == "" {
		n.Classification = "Internal"
	}
	family, _, _ := strings.Cut(n.ID, "@")
	tx.Exec(`INSERT INTO lineage_nodes (node, kind, id, family, label, uri, digest, row_count, byte_count, status, at, project, classification, sensitivity)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
		ON CONFLICT (node) DO UPDATE SET
			label = CASE WHEN lineage_nodes.label = '' THEN excluded.label ELSE lineage_nodes.label END,
			uri = CASE WHEN lineage_nodes.uri = '' THEN excluded.uri ELSE lineage_nodes.uri END,
			digest = CASE WHEN lineage_nodes.digest = '' THEN excluded.digest ELSE lineage_nodes.digest END,
			row_count = CASE WHEN lineage_nodes.row_count < 0 THEN excluded.row_count ELSE lineage_nodes.row_count END,
			byte_count = CASE WHEN lineage_nodes.byte_count < 0 THEN excluded.byte_count ELSE lineage_nodes.byte_count END,
			status = CASE WHEN excluded.status = '' THEN lineage_nodes.status ELSE excluded.status END,
			at = CASE WHEN lineage_nodes.at = 0 THEN excluded.at ELSE lineage_nodes.at END,
			project = CASE WHEN lineage_nodes.project = '' THEN excluded.project ELSE lineage_nodes.project END,
			classification = CASE WHEN excluded.sensitivity > lineage_nodes.sensitivity THEN excluded.classification ELSE lineage_nodes.classification END,
			sensitivity = CASE WHEN excluded.sensitivity > lineage_nodes.sensitivity THEN excluded.sensitivity ELSE lineage_nodes.sensitivity END`,
		n.Key(), n.Kind, n.ID, family, n.Label, n.URI, n.Digest, count(n.Rows), count(n.Bytes), n.Status, db.Micros(n.At), n.Project, n.Classification,
		caos.Sensitivity(n.Classification))
	if n.Kind != NodeDatasetVersion && n.Kind != NodeExternalVersion {
		return
	}
	digests := append([]string{n.Digest}, n.Files...)
	slices.Sort(digests)
	for _, digest := range slices.Compact(digests) {
		if digest != "" {
			tx.Exec(`INSERT INTO lineage_digests (digest, node) VALUES ($1, $2) ON CONFLICT (digest, node) DO NOTHING`, digest, n.Key())
		}
	}
}

// maxRecordedEdges bounds what of a call's edges goes into its audit record.
const maxRecordedEdges = 100

// linkRecord is the audit record of new edges. It is as secret as the most secret end.
func linkRecord(fresh []Edge) auditlog.Record {
	r := auditlog.Record{Project: fresh[0].To.Project}
	var said []map[string]string
	for _, e := range fresh[:min(len(fresh), maxRecordedEdges)] {
		said = append(said, map[string]string{"from": e.From.Key(), "kind": e.Kind, "to": e.To.Key()})
		r.Resources = append(r.Resources, e.From.ID, e.To.ID)
	}
	for _, e := range fresh {
		r.Classification = caos.Stricter(r.Classification, caos.Stricter(e.From.Classification, e.To.Classification))
	}
	slices.Sort(r.Resources)
	r.Resources = slices.Compact(r.Resources)
	r.Details = map[string]any{"event": "lineage linked", "edges": said, "count": len(fresh)}
	return r
}
