package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/registry"
)

// known puts versions of data into the lineage, as pipelines do: what is read, and what is
// made from it.
func (w *world) known(project string, nodes ...dataset.Node) {
	w.t.Helper()
	run := dataset.ExecutionNode("EXEC-DP-DLY-001-20261123T100000.000001Z", "DP-DLY-001 1.0", "SUCCESS", w.dirs.now()).In(project, "Internal")
	w.do(func(tx *db.Tx) error {
		for _, n := range nodes {
			e := dataset.Edge{From: run, To: n.In(project, "Internal"), Kind: dataset.EdgeWrote}
			if n.Kind == dataset.NodeExternalVersion {
				e = dataset.Edge{From: n.In(project, "Internal"), To: run, Kind: dataset.EdgeRead}
			}
			if err := w.datasets.Link(tx, []dataset.Edge{e}, dataset.By{Actor: "mlo"}); err != nil {
				return err
			}
		}
		return nil
	})
}

// lineage is what a node was made from: the edges, shortened.
func (w *world) lineage(node string) (out []string) {
	w.t.Helper()
	l, err := w.datasets.Lineage(context.Background(), dataset.LineageQuery{Node: node, Direction: dataset.LineageUp, Depth: 2})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range l.Edges {
		out = append(out, strings.Join([]string{e.From, e.Kind, e.To}, " "))
	}
	return out
}

func dataFindings(x *engine.Execution) (out []string) {
	for _, f := range x.Findings {
		if strings.HasSuffix(f.Rule, "-data-unknown") && strings.Contains(f.Remedy, "caos lineage link DATASET@N NN-DLY-001@1.0.0 --as ") {
			out = append(out, f.Rule+" "+f.Subject)
		}
	}
	return out
}

func TestModelFreezeLinksItsData(t *testing.T) {
	t.Parallel()
	const version = "model-version:NN-DLY-001@1.0.0"
	digest := func(c string) string { return "SHA256:" + strings.Repeat(c, 64) }
	external := dataset.Node{Kind: dataset.NodeExternalVersion, ID: "ext:0123456789ab@1", URI: "file:///flights.parquet", Digest: digest("e"), Files: []string{digest("f")}}
	train := dataset.Node{Kind: dataset.NodeDatasetVersion, ID: "DP-DLY-001.train@3", Digest: digest("a")}
	frozen := version + " FROZEN_AS baseline:BL-DLY-1.0.0"
	csv := []byte("delay\n1\n")
	for name, c := range map[string]struct {
		training, validation string // bytes of the artifacts; "" for none
		project              string // of the data
		edges, findings      []string
	}{
		"named by id and version": {training: `{"dataset_id":"DP-DLY-001.train","version":"3","source":{"digest":"` + digest("f") + `"}}`,
			edges: []string{"dataset-version:DP-DLY-001.train@3 TRAINED_ON " + version}},
		"named by its source's digest": {training: `{"dataset":"training-dataset","source":{"file":"flights.parquet","digest":"` + digest("f") + `"}}`,
			edges: []string{"external-version:ext:0123456789ab@1 TRAINED_ON " + version}},
		"named by its rows' digest": {training: `{"rows_digest":"` + digest("a") + `","source":{"digest":"` + digest("f") + `"}}`,
			edges: []string{"dataset-version:DP-DLY-001.train@3 TRAINED_ON " + version}},
		"its rows unknown, its source known": {training: `{"rows_digest":"` + digest("9") + `","source":{"digest":"` + digest("f") + `"}}`,
			edges: []string{"external-version:ext:0123456789ab@1 TRAINED_ON " + version}},
		"named in a list": {training: `{"datasets":[{"digest":"` + digest("e") + `"},{"dataset_id":"DP-DLY-001.train","version":3,"digest":"` + digest("a") + `"},7]}`,
			edges: []string{"dataset-version:DP-DLY-001.train@3 TRAINED_ON " + version, "external-version:ext:0123456789ab@1 TRAINED_ON " + version}},
		"a file of it": {training: `{"digest":"` + digest("a") + `"}`, validation: string(csv),
			edges: []string{"dataset-version:DP-DLY-001.csv@1 VALIDATED_ON " + version, "dataset-version:DP-DLY-001.train@3 TRAINED_ON " + version}},
		"another digest than its own": {training: `{"dataset_id":"DP-DLY-001.train","version":3,"digest":"` + digest("b") + `"}`,
			findings: []string{"training-data-unknown data/training.json"}},
		"known to another project alone": {training: `{"digest":"` + digest("a") + `"}`, project: "elsewhere",
			findings: []string{"training-data-unknown data/training.json"}},
		"nothing known": {training: `{"digest":"` + digest("9") + `"}`, validation: "x,y\n1,2\n",
			findings: []string{"training-data-unknown data/training.json", "validation-data-unknown data/validation.csv"}},
		"no descriptor": {training: `[1]`, findings: []string{"training-data-unknown data/training.json"}},
		"none":          {findings: []string{"training-data-unknown BL-DLY-1.0.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, dbtest.Open(t, db.SQLite))
			w.model(1024)
			if c.training != "" {
				w.attach("data/training.json", "training-dataset", []byte(c.training))
			}
			if c.validation != "" {
				w.attach("data/validation.csv", "validation-dataset", []byte(c.validation))
			}
			w.documents()
			w.register(about(dlyReport, "1.0", registry.KindVVReport), w.report(nil), by("vera"))
			published := dataset.Node{Kind: dataset.NodeDatasetVersion, ID: "DP-DLY-001.csv@1", Digest: digest("c"), Files: []string{w.put(csv)}}
			w.known(c.project, external, train, published)
			var out FreezeOutput
			x := w.done("conny", freezeHook, freezeRequest(nil), &out)
			got := slices.DeleteFunc(w.lineage("BL-DLY-1.0.0"), func(e string) bool { return strings.Contains(e, "EXEC-") })
			if want := append(slices.Clone(c.edges), frozen); !slices.Equal(got, want) {
				t.Errorf("edges\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if got := dataFindings(x); !slices.Equal(got, c.findings) {
				t.Errorf("findings %v, want %v", got, c.findings)
			}
		})
	}
}

func FuzzDescriptor(f *testing.F) {
	for _, seed := range []string{`{"dataset_id":"a","version":"3"}`, `{"datasets":[{"digest":"SHA256:aa"}],"source":[]}`, `{"version":1e9,"sources":[{}]}`, `[`, "{\"digest\":\"SHA256:\\u0000\"}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, n := range readDescriptor(text) {
			if n.DatasetID == "" && n.Digest == "" || n.Version < 0 || !db.Storable(n.DatasetID) || !db.Storable(n.Digest) {
				t.Errorf("%+v", n)
			}
			raw, err := json.Marshal(n)
			if err != nil || len(raw) > 2000 {
				t.Errorf("%+v: %v", n, err)
			}
		}
	})
}

// TestDescriptorsAreBounded reads no more than it says.
func TestDescriptorsAreBounded(t *testing.T) {
	var list []string
	for i := range 2 * maxNamedData {
		list = append(list, fmt.Sprintf(`{"digest":"SHA256:%064d"}`, i))
	}
	if got := readDescriptor([]byte(`{"datasets":[` + strings.Join(list, ",") + `]}`)); len(got) != maxNamedData {
		t.Errorf("%d named", len(got))
	}
}
