package dataset

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/event"
)

// shelf is a dataset store with what its tests ask of it.
type shelf struct{ *loom }

// eachShelf runs a test on both databases.
func eachShelf(t *testing.T, fn func(t *testing.T, k *shelf)) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) { fn(t, &shelf{openLoom(t, d, event.Options{})}) })
}

// refused fails the test unless a change is refused so, and changes nothing.
func (k *shelf) refused(kind caos.Kind, rule, field string, fn func(tx *db.Tx) error) {
	k.t.Helper()
	err := k.d.Update(context.Background(), fn)
	if e := caos.AsError(err); err == nil || e.Kind != kind || e.Rule != rule || e.Field != field {
		k.t.Fatalf("%v (%s %q %q), want %s %q %q", err, caos.KindOf(err), caos.AsError(err).Rule, caos.AsError(err).Field, kind, rule, field)
	}
}

func (k *shelf) change(fn func(tx *db.Tx) error) {
	k.t.Helper()
	k.ok(k.d.Update(context.Background(), fn))
}

// small is a definition with a contract.
func small(id, version string) Definition {
	d := Definition{PipelineID: id, PipelineVersion: version, Title: "Small", Project: "P1", Contract: "95-00-09-02-004",
		Sources: []Source{{Name: "a", URI: "file:///in/a.csv"}}, Targets: []Target{{Name: "b", From: "a", URI: "file:///out/" + id + ".parquet"}}}
	d.fill()
	return d
}

func contractText(id, version string) Contract {
	return Contract{ContractID: id, Version: version, Name: "Flights", Status: "active", Objects: []string{"flights"}, Checks: 3,
		Digest: digestOf([]byte(id + version)), Text: []byte("# " + version + "\nid: " + id), Project: "P1"}
}

func (k *shelf) contract(c Contract) *Contract {
	k.t.Helper()
	var out *Contract
	k.change(func(tx *db.Tx) (err error) {
		out, err = k.RegisterContract(tx, c, By{Actor: "dana"})
		return err
	})
	return out
}

func (k *shelf) register(d Definition, text string) *Pipeline {
	k.t.Helper()
	var out *Pipeline
	k.change(func(tx *db.Tx) (err error) {
		out, err = k.Register(tx, d, []byte(text), By{Actor: "dana"})
		return err
	})
	return out
}

// records counts the audit records of a resource that a transaction left.
func (k *shelf) records(resource string) (n int) {
	k.t.Helper()
	k.ok(k.d.QueryRow(context.Background(), `SELECT COUNT(*) FROM audit_records WHERE record LIKE $1`, `%"`+resource+`"%`).Scan(&n))
	return n
}

func TestRegister(t *testing.T) {
	eachShelf(t, func(t *testing.T, k *shelf) {
		ctx := t.Context()
		try := func(d Definition) func(tx *db.Tx) error {
			return func(tx *db.Tx) error {
				_, err := k.Register(tx, d, nil, By{Actor: "dana"})
				return err
			}
		}
		k.refused(caos.Invalid, RuleContract, "contract", try(small("DP-A-001", "1.0")))
		k.contract(contractText("95-00-09-02-004", "1.0.0"))
		p := k.register(small("DP-A-001", "1.0"), "# as it was written")
		if p.Owner != "dana" || !p.Latest || p.RetiredAt != nil || string(p.Text) != "# as it was written" || p.Digest == "" || p.Sources[0].Format != FormatCSV {
			t.Errorf("%+v", p)
		}
		records := k.records("DP-A-001")
		if again := k.register(small("DP-A-001", "1.0"), "# other words"); again.Digest != p.Digest || k.records("DP-A-001") != records || records != 1 {
			t.Errorf("registered twice: %+v, %d records", again, k.records("DP-A-001"))
		}
		other := small("DP-A-001", "1.0")
		other.Title = "Other"
		k.refused(caos.Conflict, RuleVersionTaken, "pipeline_version", try(other))
		k.register(small("DP-A-001", "1.10"), "")
		k.refused(caos.Conflict, RuleVersionOrder, "pipeline_version", try(small("DP-A-001", "1.9")))
		k.register(small("DP-A-001", "2.0"), "")
		if got := k.register(small("DP-A-001", "1.10"), ""); got.Latest || got.PipelineVersion != "1.10" {
			t.Errorf("a version that is there is answered, and is not the latest: %+v", got)
		}
		moved := small("DP-A-001", "2.1")
		moved.Project, moved.Contract = "P2", ""
		k.refused(caos.Conflict, RuleProject, "project", try(moved))
		bad := small("DP-A-001", "2.1")
		bad.Targets[0].From = "c"
		k.refused(caos.Invalid, "target-from", "targets[0].from", try(bad))
		foreign := small("DP-B-001", "1.0")
		foreign.Project = "P2"
		k.refused(caos.Invalid, RuleContract, "contract", try(foreign))
		pinned := small("DP-B-001", "1.0")
		pinned.Targets[0].Contract = "95-00-09-02-004@1.0.1"
		k.refused(caos.Invalid, RuleContract, "targets[0].contract", try(pinned))

		// What was published is not made less secret.
		secret := small("DP-A-001", "2.1")
		secret.Classification = "Restricted"
		k.register(secret, "")
		k.publish(Version{PipelineID: "DP-A-001", Target: "b", ExecutionID: "EXEC-1", URI: "file:///out/b", Project: "P1", Classification: "Restricted", Files: oneFile("1")})
		k.refused(caos.Conflict, RuleClassification, "classification", try(small("DP-A-001", "2.2")))

		for version, want := range map[string]string{"": "2.1", "1.0": "1.0", "2.0": "2.0"} {
			if p, err := k.Pipeline(ctx, "DP-A-001", version); err != nil || p.PipelineVersion != want || p.Latest != (want == "2.1") {
				t.Errorf("%q: %+v, %v", version, p, err)
			}
		}
		for _, ask := range [][2]string{{"DP-A-001", "9.9"}, {"DP-NONE-001", ""}, {"x' OR 1=1 --", ""}, {"DP-A-001", "1.0\x00"}} {
			if p, err := k.Pipeline(ctx, ask[0], ask[1]); caos.KindOf(err) != caos.NotFound {
				t.Errorf("%q: %v %v", ask, p, err)
			}
		}
		list, _, err := k.Versions(ctx, "DP-A-001", 0, "")
		k.ok(err)
		if got := strings.Join(collect(list, func(p *Pipeline) string { return p.PipelineVersion }), " "); got != "2.1 2.0 1.10 1.0" {
			t.Error(got)
		}

		retire := func(tx *db.Tx) error {
			_, err := k.Retire(tx, "DP-A-001", "nobody needs it", By{Actor: "dana"})
			return err
		}
		k.refused(caos.Invalid, "", "reason", func(tx *db.Tx) error {
			_, err := k.Retire(tx, "DP-A-001", " ", By{Actor: "dana"})
			return err
		})
		k.change(retire)
		k.refused(caos.Conflict, RuleRetired, "pipeline_id", retire)
		k.refused(caos.Conflict, RuleRetired, "pipeline_id", try(small("DP-A-001", "3.0")))
		if p, err := k.Pipeline(ctx, "DP-A-001", "1.0"); err != nil || p.RetiredAt == nil || p.RetiredReason != "nobody needs it" || p.RetiredBy != "dana" {
			t.Errorf("%+v %v", p, err)
		}
	})
}

func collect[T any](list []T, fn func(T) string) []string {
	out := []string{}
	for _, v := range list {
		out = append(out, fn(v))
	}
	return out
}

func TestPipelineList(t *testing.T) {
	eachShelf(t, func(t *testing.T, k *shelf) {
		ctx := t.Context()
		k.contract(contractText("95-00-09-02-004", "1.0"))
		for i := range 5 {
			k.register(small(fmt.Sprintf("DP-A-%03d", i), "1.0"), "")
		}
		k.register(small("DP-A-001", "1.1"), "")
		other := small("DP-B-001", "1.0")
		other.Project, other.Contract = "P2", ""
		k.register(other, "")
		k.change(func(tx *db.Tx) error {
			_, err := k.Retire(tx, "DP-A-003", "done", By{Actor: "dana"})
			return err
		})
		ids := func(f PipelineFilter) string {
			var out []string
			for cursor := ""; ; {
				list, next, err := k.Pipelines(ctx, f, cursor)
				k.ok(err)
				out = append(out, collect(list, func(p *Pipeline) string { return p.PipelineID[3:] + "@" + p.PipelineVersion })...)
				if cursor = next; next == "" {
					return strings.Join(out, " ")
				}
			}
		}
		no, yes := false, true
		for _, test := range []struct {
			f    PipelineFilter
			want string
		}{
			{PipelineFilter{Limit: 2}, "B-001@1.0 A-001@1.1 A-004@1.0 A-003@1.0 A-002@1.0 A-000@1.0"},
			{PipelineFilter{Project: "P2"}, "B-001@1.0"},
			{PipelineFilter{Retired: &yes}, "A-003@1.0"},
			{PipelineFilter{Project: "P1", Owner: "dana", Retired: &no, Limit: 3}, "A-001@1.1 A-004@1.0 A-002@1.0 A-000@1.0"},
			{PipelineFilter{Owner: "nobody"}, ""},
			{PipelineFilter{Project: "P1\x00"}, ""},
		} {
			if got := ids(test.f); got != test.want {
				t.Errorf("%+v: %s, want %s", test.f, got, test.want)
			}
		}
		if _, _, err := k.Pipelines(ctx, PipelineFilter{}, "nonsense"); caos.KindOf(err) != caos.Invalid {
			t.Error(err)
		}
	})
}

// Many who register the same version at once get the same; of different ones one wins.
func TestRegisterAtOnce(t *testing.T) {
	eachShelf(t, func(t *testing.T, k *shelf) {
		k.contract(contractText("95-00-09-02-004", "1.0"))
		var all sync.WaitGroup
		outcomes := make([]error, 16)
		for i := range outcomes {
			all.Go(func() {
				d := small("DP-A-001", "1.0")
				d.Title = fmt.Sprint("Title ", i%4)
				outcomes[i] = k.d.Update(context.Background(), func(tx *db.Tx) error {
					_, err := k.Register(tx, d, nil, By{Actor: "dana"})
					return err
				})
			})
		}
		all.Wait()
		won := 0
		for _, err := range outcomes {
			if err == nil {
				won++
			} else if caos.AsError(err).Rule != RuleVersionTaken {
				t.Error(err)
			}
		}
		list, _, err := k.Versions(t.Context(), "DP-A-001", 0, "")
		k.ok(err)
		if won != 4 || len(list) != 1 || k.records("DP-A-001") != 1 {
			t.Errorf("%d won, %d versions, %d records", won, len(list), k.records("DP-A-001"))
		}
	})
}

func TestContracts(t *testing.T) {
	eachShelf(t, func(t *testing.T, k *shelf) {
		ctx := t.Context()
		const id = "95-00-09-02-004"
		try := func(c Contract) func(tx *db.Tx) error {
			return func(tx *db.Tx) error {
				_, err := k.RegisterContract(tx, c, By{Actor: "dana"})
				return err
			}
		}
		first := k.contract(contractText(id, "1.2.0"))
		if !first.Latest || first.Classification != "Internal" || first.RegisteredBy != "dana" {
			t.Errorf("%+v", first)
		}
		if again := k.contract(contractText(id, "1.2.0")); again.RegisteredAt != first.RegisteredAt || k.records(id) != 1 {
			t.Error("registered twice")
		}
		changed := contractText(id, "1.2.0")
		changed.Digest = digestOf([]byte("other"))
		k.refused(caos.Conflict, RuleVersionTaken, "version", try(changed))
		k.contract(contractText(id, "1.10"))
		k.refused(caos.Conflict, RuleVersionOrder, "version", try(contractText(id, "1.9.9")))
		k.refused(caos.Conflict, RuleVersionOrder, "version", try(contractText(id, "1.10.0")))
		k.refused(caos.Invalid, "", "version", try(contractText(id, "v2")))
		k.refused(caos.Invalid, "", "id", try(contractText("../x", "2")))
		moved := contractText(id, "2")
		moved.Project = ""
		k.refused(caos.Conflict, RuleProject, "project", try(moved))
		secret := contractText(id, "2")
		secret.Classification = "Restricted"
		k.contract(secret)
		k.refused(caos.Conflict, RuleClassification, "classification", try(contractText(id, "3")))
		for version, want := range map[string]string{"": "2", "1.2.0": "1.2.0"} {
			c, err := k.Contract(ctx, id, version)
			if err != nil || c.Version != want || string(c.Text) != "# "+want+"\nid: "+id || c.Latest != (want == "2") || c.Ref() != id+"@"+want {
				t.Errorf("%q: %+v, %v", version, c, err)
			}
		}
		for _, ask := range [][2]string{{id, "9"}, {"95-00-09-02-009", ""}, {"'", ""}, {id, "\x00"}} {
			if _, err := k.Contract(ctx, ask[0], ask[1]); caos.KindOf(err) != caos.NotFound {
				t.Errorf("%q: %v", ask, err)
			}
		}
		k.contract(contractText("95-00-09-02-005", "1"))
		list, _, err := k.Contracts(ctx, ContractFilter{Project: "P1"}, "")
		k.ok(err)
		if got := strings.Join(collect(list, func(c *Contract) string { return c.Ref() + string(c.Text) }), " "); got != "95-00-09-02-005@1 "+id+"@2" {
			t.Error(got)
		}
		var versions []string
		for cursor := ""; ; {
			page, next, err := k.ContractVersions(ctx, id, 2, cursor)
			k.ok(err)
			versions = append(versions, collect(page, func(c *Contract) string { return c.Version })...)
			if cursor = next; next == "" {
				break
			}
		}
		if !slices.Equal(versions, []string{"2", "1.10", "1.2.0"}) {
			t.Error(versions)
		}
	})
	for ref, want := range map[string][2]string{"95-00-09-02-004": {"95-00-09-02-004", ""}, "95-00-09-02-004@1.2": {"95-00-09-02-004", "1.2"}} {
		if id, version, err := ParseContractRef(ref); err != nil || id != want[0] || version != want[1] {
			t.Errorf("%s: %s %s %v", ref, id, version, err)
		}
	}
	for _, ref := range []string{"", "@1", "95-00-09-02-004@", "95-00-09-02-004@latest", "95-00-09-02-004@1@2", "95-00-09-02-004 @1"} {
		if _, _, err := ParseContractRef(ref); caos.AsError(err).Rule != "contract-form" {
			t.Errorf("%q: %v", ref, err)
		}
	}
}

// A document of the standard is read into what is stored of it, and its text is read again
// as it was written.
func TestReadContract(t *testing.T) {
	const text = `
apiVersion: v3.1.0
kind: DataContract
id: 95-00-09-02-004
version: "1.2.0"
name: Flights
status: active
schema:
  - name: flights
    properties:
      - {name: delay, logicalType: integer, required: true}
    quality:
      - {type: library, metric: rowCount, mustBeGreaterThan: 0}
`
	c, err := ReadContract([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if c.Ref() != "95-00-09-02-004@1.2.0" || c.Name != "Flights" || c.Status != "active" || !slices.Equal(c.Objects, []string{"flights"}) || c.Checks < 2 || !fileDigest.MatchString(c.Digest) {
		t.Errorf("%+v", c)
	}
	for _, bad := range []string{"", "kind: DataContract", strings.Replace(text, "1.2.0", "latest", 1), strings.Replace(text, "rowCount", "rowSum", 1)} {
		if c, err := ReadContract([]byte(bad)); caos.KindOf(err) != caos.Invalid {
			t.Errorf("%.40q: %+v, %v", bad, c, err)
		}
	}
	eachShelf(t, func(t *testing.T, k *shelf) {
		k.contract(c)
		again, err := k.Contract(t.Context(), "95-00-09-02-004", "")
		if err != nil || string(again.Text) != text {
			t.Fatal(err)
		}
		if reread, err := ReadContract(again.Text); err != nil || reread.Digest != c.Digest {
			t.Error(err)
		}
	})
}

// The latest contract is that of the moment of the run, and the run says which it was.
func TestLatestContractAtTheRun(t *testing.T) {
	eachShelf(t, func(t *testing.T, k *shelf) {
		k.contract(contractText("95-00-09-02-004", "1.0"))
		p := k.register(small("DP-A-001", "1.0"), "")
		k.contract(contractText("95-00-09-02-004", "1.1"))
		id, version, err := ParseContractRef(p.ContractOf(p.Targets[0]))
		k.ok(err)
		k.change(func(tx *db.Tx) error {
			c, err := k.ContractIn(tx, id, version)
			if err != nil {
				return err
			}
			r := aRun("EXEC-1", RunRunning)
			r.Contracts = []ContractRef{{Target: "b", ContractID: c.ContractID, Version: c.Version, Digest: c.Digest}}
			return k.PutRun(tx, r)
		})
		r, err := k.RunOf(t.Context(), "EXEC-1")
		if err != nil || len(r.Contracts) != 1 || r.Contracts[0].Version != "1.1" {
			t.Errorf("%+v %v", r, err)
		}
	})
}
