package importer_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"caos"
	flightdelay "caos/examples/flight-delay"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/event"
	"caos/internal/importer"
	"caos/internal/readiness"
	"caos/internal/registry"
)

// somebody knows the people of the example, and no more about them.
type somebody struct{}

func (somebody) KnownPerson(_ *db.Tx, id string) (bool, error) {
	return slices.Contains([]string{"data-engineer", "safety-engineer", "model-owner", "vv-lead", "mlops-engineer", "carla"}, id), nil
}
func (somebody) WithRole(*db.Tx, string, string, string) ([]string, error) { return nil, nil }
func (somebody) RolesOf(_ *db.Tx, id string) ([]string, error)             { return []string{id}, nil }
func (somebody) Parties(*db.Tx, caos.Principal) ([]string, error)          { return nil, nil }
func (somebody) ActiveKey(*db.Tx, string, string) (string, error)          { return "", nil }

// withRisks is a world with a risk register and the models NN-DLY-001, at 1.0.0, and
// NN-FCS-001.
func withRisks(t testing.TB, d *db.DB) (*world, *readiness.Readiness) {
	w := newWorld(t, d)
	now := func() time.Time { return time.UnixMicro(w.clock.Add(1000)) }
	stamps := caos.NewStamper(now, time.Time{}, 0, 1)
	events, err := event.Open(event.Options{DB: d, Stamps: stamps, Now: now, Log: slog.New(slog.DiscardHandler), Poll: time.Hour})
	w.ok(err)
	t.Cleanup(events.Close)
	r, err := readiness.Open(readiness.Options{DB: d, Log: w.log, Events: events, Stamps: stamps, Now: now, People: somebody{}, Keys: somebody{}})
	w.ok(err)
	w.ok(w.do(func(tx *db.Tx) error {
		for _, id := range []string{"NN-DLY-001", "NN-FCS-001", "NN-ABCDEFGHIJKLMNOP-654321"} {
			if _, err := w.CreateModel(tx, registry.Model{ModelID: id, Name: "M", SafetyLevel: "DAL-D", Owner: "otto", Project: "demo", Classification: "Internal"}, carla); err != nil {
				return err
			}
		}
		_, err := w.CreateVersion(tx, registry.Version{ModelID: "NN-DLY-001", Version: "1.0.0"}, carla)
		return err
	}))
	return w, r
}

func eachRisks(t *testing.T, fn func(t *testing.T, w *world, r *readiness.Readiness)) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w, r := withRisks(t, d)
		fn(t, w, r)
	})
}

const riskHeader = "ID,Risk,Description,Probability,Severity,Risk Score,Mitigation Plan,Residual Likelihood,Residual Impact,Risk Owner,Status,Next Review\n"

func TestRiskExample(t *testing.T) {
	eachRisks(t, func(t *testing.T, w *world, r *readiness.Readiness) {
		data, err := flightdelay.Files.ReadFile(flightdelay.RiskFile)
		w.ok(err)
		opt := importer.Options{Project: "demo", Classification: "Internal", Readiness: r}
		got := w.run(flightdelay.RiskFile, data, opt)
		if got.Kind != importer.RiskRegister || len(got.Mapped) != 1 || got.Mapped[0].As != "risks" || got.Mapped[0].Created != 10 || len(got.Notes) != 0 || !got.Changed {
			t.Fatalf("%+v", got)
		}
		w.ok(w.do(func(tx *db.Tx) error {
			list, err := r.RisksOf(tx, "NN-DLY-001", "1.0.0")
			if err != nil || len(list) != 10 {
				t.Fatalf("%d risks, %v", len(list), err)
			}
			if k := list[0]; k.RiskID != "RISK-DLY-01" || k.Level != readiness.High || k.ResidualLevel != readiness.Medium || k.Owner != "data-engineer" ||
				k.Status != readiness.RiskMitigating || !strings.HasPrefix(k.Source, "STMT-") || !slices.Equal(k.Importers, []string{"carla"}) || k.ReviewOn == "" ||
				!slices.Equal(k.Involved, []string{"data-engineer"}) {
				t.Errorf("%+v", k)
			}
			return nil
		}))
		before := w.rows()
		if again := w.run(flightdelay.RiskFile, data, opt); again.Changed || again.Mapped[0].Unchanged != 10 || w.rows() != before {
			t.Errorf("again: %+v", again)
		}
		// CRLF, a byte order mark and another name make other statements and the same risks
		mark := append([]byte("\xef\xbb\xbf"), bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))...)
		if again := w.run("copy.csv", mark, opt); again.Mapped[0].Unchanged != 10 || again.Said.Created != 10 {
			t.Errorf("a copy: %+v", again)
		}
	})
}

func TestRiskForms(t *testing.T) {
	eachRisks(t, func(t *testing.T, w *world, r *readiness.Readiness) {
		opt := importer.Options{Project: "demo", Classification: "Internal", Readiness: r, Baseline: "BL-DLY-1.0.0"}
		got := w.run("risks.csv", []byte(riskHeader+"R-001,=cmd|' /C calc'!A0,,4,4,16,,,,some team,Accepted,2026-11-25\nR_2,Two,d,2,2,,m,1,2,vv-lead,Closed,2027-11-25\n"), opt)
		notes := strings.Join(got.Notes, "\n")
		for _, want := range []string{`a spreadsheet would run it`, `states "some team", which is no person`, "stated as Accepted, and is OPEN here", "stated as Closed, and is MITIGATING here", "is by 2027-02-22"} {
			if !strings.Contains(notes, want) {
				t.Errorf("no note of %q: %s", want, notes)
			}
		}
		k, err := r.Risk(context.Background(), "RISK-DLY-R-001")
		w.ok(err)
		if k.Owner != "" || k.Status != readiness.RiskOpen || k.Level != readiness.Critical || k.ReviewOn != "2026-11-25" || k.Version != "1.0.0" || k.Title[0] != '=' {
			t.Errorf("%+v", k)
		}
		two, err := r.Risk(context.Background(), "RISK-DLY-R-2")
		w.ok(err)
		if two.Owner != "vv-lead" || two.ResidualScore != 2 || two.ReviewOn != "2027-02-22" || two.Accepted != nil {
			t.Errorf("%+v", two)
		}
		// the same in YAML, for another model
		yaml := "# risks\r\nmodel_id: NN-FCS-001\r\nrisks:\r\n  - risk_id: R-001\r\n    title: \"It's late\"\r\n    likelihood: 4\r\n    impact: 4\r\n    owner: vv-lead\r\n" +
			"  - {risk_id: R-002, title: Two, likelihood: 1, impact: 1, residual_likelihood: null, extra: x}\r\n"
		opt.Baseline = ""
		got = w.run("risks.yaml", []byte("\xef\xbb\xbf"+yaml), opt)
		if got.Kind != importer.RiskRegister || got.Mapped[0].Created != 2 || !strings.Contains(strings.Join(got.Notes, "\n"), "the key extra is not known") {
			t.Fatalf("%+v", got)
		}
		k, err = r.Risk(context.Background(), "RISK-FCS-R-001")
		w.ok(err)
		if k.Owner != "vv-lead" || k.Title != "It's late" || k.ModelID != "NN-FCS-001" || k.Version != "" {
			t.Errorf("%+v", k)
		}
		if again := w.run("risks.yaml", []byte("\xef\xbb\xbf"+yaml), opt); again.Changed {
			t.Errorf("%+v", again)
		}
	})
}

// TestRiskLater imports later states of a register.
func TestRiskLater(t *testing.T) {
	eachRisks(t, func(t *testing.T, w *world, r *readiness.Readiness) {
		opt := importer.Options{Project: "demo", Classification: "Internal", Readiness: r, Baseline: "NN-DLY-001"}
		row := func(title, l, owner, status string) []byte {
			return []byte(riskHeader + "R-1," + title + ",," + l + ",2,,fence,,," + owner + "," + status + ",\nR-2,Two,,1,1,,,,,vv-lead,Open,\n")
		}
		w.run("r.csv", row("One", "2", "vv-lead", "Open"), opt)
		get := func() *readiness.Risk {
			k, err := r.Risk(context.Background(), "RISK-DLY-R-1")
			w.ok(err)
			return k
		}
		// the file says something else: taken over
		got := w.run("r.csv", row("First", "5", "mlops-engineer", "In progress"), opt)
		if k := get(); k.Title != "First" || k.Score != 10 || k.Owner != "mlops-engineer" || k.Status != readiness.RiskMitigating || k.Revision != 2 || got.Mapped[0].Updated != 1 {
			t.Errorf("%+v, %+v", k, got)
		}
		// accepted here, then the file changes what was accepted
		w.ok(w.do(func(tx *db.Tx) error {
			_, err := r.UpdateRisk(tx, "RISK-DLY-R-1", readiness.RiskUpdate{ResidualLikelihood: new(2), ResidualImpact: new(2)}, 0, readiness.By{Actor: "data-engineer"})
			return err
		}))
		accept := func(person string) error {
			return w.do(func(tx *db.Tx) error {
				_, _, err := r.AcceptRisk(tx, "RISK-DLY-R-1", readiness.RiskAcceptance{Reason: "fine", SafetyLevel: "DAL-D"}, readiness.Proof{}, caos.Principal{ID: person, MFA: "totp"})
				return err
			})
		}
		if err := accept("carla"); caos.AsError(err).Rule != readiness.RuleSeparation {
			t.Errorf("who imported it accepts it: %v", err)
		}
		w.ok(accept("safety-engineer"))
		if again := w.run("r.csv", row("First", "5", "mlops-engineer", "In progress"), opt); again.Changed || get().Status != readiness.RiskAccepted {
			t.Errorf("%+v", again)
		}
		got = w.run("r.csv", row("First", "4", "mlops-engineer", "Closed"), opt)
		if k := get(); k.Status != readiness.RiskMitigating || k.Accepted != nil || k.Likelihood != 4 || k.ResidualScore != 4 ||
			!strings.Contains(strings.Join(got.Notes, " "), "that is void") || !strings.Contains(strings.Join(got.Notes, " "), "for somebody to decide") {
			t.Errorf("%+v, %+v", k, got)
		}
		// what somebody changed here stays
		w.ok(w.do(func(tx *db.Tx) error {
			_, err := r.UpdateRisk(tx, "RISK-DLY-R-1", readiness.RiskUpdate{Title: new("Better")}, 0, readiness.By{Actor: "data-engineer"})
			return err
		}))
		got = w.run("r.csv", row("Worse", "4", "mlops-engineer", "Closed"), opt)
		if k := get(); k.Title != "Better" || !strings.Contains(strings.Join(got.Notes, " "), `has the title "Better" and the file states "Worse"`) {
			t.Errorf("%+v, %+v", k, got)
		}
		// a row that is gone leaves its risk
		got = w.run("r.csv", []byte(riskHeader+"R-2,Two,,1,1,,,,,vv-lead,Open,\n"), opt)
		if got.Ended != 1 || !strings.Contains(strings.Join(got.Notes, " "), "1 risks were stated before") || get().Status == readiness.RiskClosed {
			t.Errorf("%+v", got)
		}
		// the same file for another model is another register
		opt.Baseline = "NN-FCS-001"
		got = w.run("r.csv", []byte(riskHeader+"R-9,Nine,,1,1,,,,,vv-lead,Open,\n"), opt)
		if got.Ended != 0 || got.Mapped[0].Created != 1 {
			t.Errorf("%+v", got)
		}
		// one file may be about several models, and name the risks of each as it likes
		two := []byte("risk_id,title,likelihood,impact,model\nR-5,One,1,1,NN-DLY-001\nR-5,Two,2,2,NN-FCS-001\n")
		o := importer.Options{Project: "demo", Classification: "Internal", Readiness: r}
		if got = w.run("two.csv", two, o); got.Mapped[0].Created != 2 || got.Said.Created != 2 {
			t.Errorf("%+v", got)
		}
		if got = w.run("two.csv", two, o); got.Changed || got.Ended != 0 {
			t.Errorf("%+v", got)
		}
		// closed here stays closed
		w.ok(w.do(func(tx *db.Tx) error {
			_, err := r.CloseRisk(tx, "RISK-DLY-R-2", readiness.RiskClosing{Reason: "gone"}, readiness.By{Actor: "safety-engineer"})
			return err
		}))
		opt.Baseline = "NN-DLY-001"
		got = w.run("r.csv", []byte(riskHeader+"R-2,Two again,,5,5,,,,,vv-lead,Open,\n"), opt)
		if got.Mapped[0].Updated != 0 || !strings.Contains(strings.Join(got.Notes, " "), "is closed here") {
			t.Errorf("%+v", got)
		}
	})
}

// TestRiskRefusedWhole changes nothing in a dry run, and nothing with a register of which one
// row cannot be taken.
func TestRiskRefusedWhole(t *testing.T) {
	eachRisks(t, func(t *testing.T, w *world, r *readiness.Readiness) {
		opt := importer.Options{Project: "demo", Classification: "Internal", Readiness: r, DryRun: true}
		const bare, good = "risk_id,title,likelihood,impact\nR-1,One,1,1\n", "risk_id,title,likelihood,impact,model_id,version\nR-1,One,1,1,NN-DLY-001,1.0.0\n"
		before := w.rows()
		if got := w.run("r.csv", []byte(good), opt); got.Mapped[0].Created != 1 || w.rows() != before {
			t.Errorf("%+v", got)
		}
		opt.DryRun = false
		w.run("ids.csv", []byte("risk_id,title,likelihood,impact,model_id\nRISK-2,One,1,1,NN-DLY-001\n"), opt)
		before = w.rows()
		for _, c := range []struct {
			name, data string
			kind       caos.Kind
			field      string
			change     func(o *importer.Options)
		}{
			{"no model", bare, caos.Invalid, "model_id", nil},
			{"unknown model", good + "R-2,Two,1,1,NN-NO-001,\n", caos.NotFound, "model_id", nil},
			{"unknown version", good + "R-2,Two,1,1,NN-DLY-001,9.0.0\n", caos.NotFound, "model_version", nil},
			{"another project", good, caos.NotFound, "model_id", func(o *importer.Options) { o.Project = "other" }},
			{"classified higher", good, caos.Denied, "classification", func(o *importer.Options) { o.Classification = "Public" }},
			{"another's id", good + "RISK-2,Two,1,1,NN-FCS-001,\n", caos.Conflict, "risk_id", nil},
			{"ids too long", good + strings.Repeat("A", 24) + ",Two,1,1,NN-ABCDEFGHIJKLMNOP-654321,\n", caos.Invalid, "risk_id", nil},
			{"no register", good, caos.Unavailable, "", func(o *importer.Options) { o.Readiness = nil }},
			{"no such baseline", bare, caos.NotFound, "baseline", func(o *importer.Options) { o.Baseline = "BL-DLY-7.0.0" }},
		} {
			o := opt
			if c.change != nil {
				c.change(&o)
			}
			_, err := w.try("bad.csv", []byte(c.data), o)
			if e := caos.AsError(err); err == nil || e.Kind != c.kind || e.Field != c.field || e.Hint == "" && c.field != "" {
				t.Errorf("%s: %v", c.name, err)
			}
			if w.rows() != before {
				t.Errorf("%s left something", c.name)
			}
		}
	})
}

// TestRiskRefusals refuses files by their line and column.
func TestRiskRefusals(t *testing.T) {
	const head = "risk_id,title,likelihood,impact,score,level,residual_likelihood,residual_impact,residual_score,review_on,status,owner\n"
	const yml = "risks:\n  - risk_id: R-1\n    title: One\n    likelihood: 1\n    impact: 1\n"
	for _, c := range []struct{ name, file, data, want, field string }{
		{"id missing", "r.csv", head + ",One,1,1,,,,,,,,\n", `r.csv, line 2, column 1: "" cannot name a risk`, "risk_id"},
		{"id odd", "r.csv", head + "R;1,One,1,1,,,,,,,,\n", "line 2, column 1: ", "risk_id"},
		{"id twice", "r.csv", head + "R-1,One,1,1,,,,,,,,\nr-1,Two,1,1,,,,,,,,\n", "line 3, column 1: the risk r-1 is in line 2 already", "risk_id"},
		{"id twice otherwise", "r.csv", head + "R-1,One,1,1,,,,,,,,\nR_1,Two,1,1,,,,,,,,\n", "line 3, column 1: the risk R_1 is in line 2 already", "risk_id"},
		{"title", "r.csv", head + "R-1, ,1,1,,,,,,,,\n", "line 2, column 5: ", "title"},
		{"likelihood 6", "r.csv", head + "R-1,One,6,1,,,,,,,,\n", `line 2, column 9: "6" is not a whole number from 1 to 5`, "likelihood"},
		{"likelihood words", "r.csv", head + "R-1,One,likely,1,,,,,,,,\n", "line 2, column 9: ", "likelihood"},
		{"likelihood missing", "r.csv", head + "R-1,One,,1,,,,,,,,\n", "line 2, column 9: ", "likelihood"},
		{"impact 01", "r.csv", head + "R-1,One,1,01,,,,,,,,\n", "line 2, column 11: ", "impact"},
		{"score", "r.csv", head + "R-1,One,2,3,5,,,,,,,\n", "line 2, column 13: the score is 5, and likelihood × impact is 6", "score"},
		{"level", "r.csv", head + "R-1,One,2,3,6,High,,,,,,\n", `line 2, column 15: the level is "High", and a score of 6 is Medium`, "level"},
		{"half a residual", "r.csv", head + "R-1,One,2,3,,,1,,,,,\n", "line 2, column 17: ", "residual_impact"},
		{"a residual score alone", "r.csv", head + "R-1,One,2,3,,,,,4,,,\n", "line 2, column 17: a residual score of 4 without", "residual_score"},
		{"review", "r.csv", head + "R-1,One,2,3,,,,,,soon,,\n", "line 2, column 18: ", "review_on"},
		{"status", "r.csv", head + "R-1,One,2,3,,,,,,,Dunno,\n", "line 2, column 19: ", "status"},
		{"same meaning", "r.csv", "risk_id,title,likelihood,impact,Probability\nR-1,One,1,1,1\n", "line 1, column 33: the columns likelihood and Probability both mean likelihood", "Probability"},
		{"cells", "r.csv", head + "R-1,One\n", "line 2, column 1: the row has 2 cells, the header has 12", ""},
		{"no rows", "r.csv", head, "line 2, column 1: the table has a header and no rows", ""},
		{"control", "r.csv", head + "R-1,On\x01e,1,1,,,,,,,,\n", "line 2, column 5: the cell has a control character", "title"},

		{"yaml empty", "r.yaml", "risks: []\n", "r.yaml, line 1, column 1: the file lists no risk", "risks"},
		{"yaml scalar", "r.yaml", "hello\n", "line 1, column 1: a list of risks", ""},
		{"yaml no list", "r.yaml", "risks: 5\n", "line 1, column 8: a list of risks belongs here", "risks"},
		{"yaml key", "r.yaml", yml + "owner: x\n", "line 6, column 8: the key owner is not known here", "owner"},
		{"yaml likelihood", "r.yaml", strings.Replace(yml, "likelihood: 1", "likelihood: 9", 1), `line 4, column 17: "9" is not a whole number`, "risks[0].likelihood"},
		{"yaml number", "r.yaml", strings.Replace(yml, "impact: 1", "impact: 1.5", 1), "line 5, column 13: ", "risks[0].impact"},
		{"yaml nested", "r.yaml", strings.Replace(yml, "impact: 1", "impact: [1]", 1), "line 5, column 13: ", "risks[0].impact"},
		{"yaml missing", "r.yaml", strings.Replace(yml, "    title: One\n", "", 1), "line 2, column 5: ", "risks[0]"},
		{"yaml entry", "r.yaml", "- 5\n", "line 1, column 3: an object with", "[0]"},
		{"yaml twice", "r.yaml", yml + strings.TrimPrefix(yml, "risks:\n"), "line 6, column 14: the risk R-1 is in line 2 already", "risks[1].risk_id"},
		{"yaml same meaning", "r.yaml", yml + "    name: Too\n", "line 2, column 5: the keys name and title both mean title", "risks[0]"},
		{"yaml key twice", "r.yaml", yml + "    impact: 2\n", "line 6, column 13: ", "risks[0].impact"},
		{"yaml anchor", "r.yaml", "risks: &a\n  - *a\n", "line 1, column 1: ", ""},
		{"yaml broken", "r.yaml", "risks:\n  - {a: [\n", "r.yaml, line ", ""},
		{"yaml tab", "r.yaml", "risks:\n\t- a: 1\n", "r.yaml, line ", ""},
		{"no table", "r.csv", "a,b\n1,2\n", "line 1, column 1: this is none of the files that are read", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := importer.Read(c.file, []byte(c.data))
			var e *caos.Error
			if !errors.As(err, &e) || p != nil {
				t.Fatalf("read, %v", err)
			}
			if !strings.Contains(e.Message, c.want) || e.Field != c.field || e.Kind != caos.Invalid {
				t.Errorf("%s %q (field %q), want %q (field %q)", e.Kind, e.Message, e.Field, c.want, c.field)
			}
		})
	}
	var long strings.Builder
	long.WriteString("risk_id,title,likelihood,impact\n")
	for i := range 1001 {
		long.WriteString("R-" + strconv.Itoa(i) + ",One,1,1\n")
	}
	if _, err := importer.Read("r.csv", []byte(long.String())); err == nil || !strings.Contains(err.Error(), "line 1002, column 1: the register has more than 1000 risks") {
		t.Errorf("%v", err)
	}
}

// FuzzRisks reads what may be a risk register, as a table and as YAML.
func FuzzRisks(f *testing.F) {
	real, err := os.ReadFile("../../examples/flight-delay/risk-register.csv")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("r.csv", real)
	f.Add("r.csv", []byte(riskHeader+"R-1,\"a\"\"b\",,1,1,1,,,,,,\n"))
	for _, s := range []string{
		"risks:\n  - risk_id: R-1\n    title: One\n    likelihood: 1\n    impact: 1\n", "- {risk_id: A, title: b, likelihood: 1, impact: 1}\n", "risks: [[[[[[[[[[", "risks:\n- a: &x 1\n  b: *x\n",
		"model_id: 5\nrisks: null\n", "? a\n: b\n", "risks:\n  - risk_id: |\n      x\n    title: >-\n      y\n", "\"risks\":\r\n- \"a.b\": 1\n", "- 1: 2\n  1: 3\n", "---\n...\n---\n",
	} {
		f.Add("r.yaml", []byte(s))
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		p, err := importer.Read(name, data)
		if err == nil {
			if p.Entries() == 0 {
				t.Error("a file without an entry is read")
			}
			return
		}
		var e *caos.Error
		if !errors.As(err, &e) || p != nil || e.Kind != caos.Invalid && e.Kind != caos.TooLarge {
			t.Fatalf("%v, %v", p, err)
		}
		if len(data) <= importer.MaxBytes && e.Field != "name" && !strings.Contains(e.Message, ", line ") {
			t.Errorf("no place: %s", e.Message)
		}
	})
}

// TestRiskOwner keeps who owns a model from making its risks lighter by way of a file.
func TestRiskOwner(t *testing.T) {
	eachRisks(t, func(t *testing.T, w *world, r *readiness.Readiness) {
		opt := importer.Options{Project: "demo", Classification: "Internal", Readiness: r, Baseline: "NN-DLY-001"}
		const head = "risk_id,title,likelihood,impact\n"
		w.run("r.csv", []byte(head+"R-1,One,5,5\n"), opt)
		plan, err := importer.Read("r.csv", []byte(head+"R-1,One,1,1\n"))
		w.ok(err)
		_, err = importer.Run(w.do, w.Registry, plan, opt, registry.By{Actor: "otto"})
		if e := caos.AsError(err); err == nil || e.Rule != readiness.RuleSeparation || !strings.Contains(e.Message, "r.csv, line 2") {
			t.Errorf("%v", err)
		}
		if got := w.run("r.csv", []byte(head+"R-1,One,1,1\n"), opt); got.Mapped[0].Updated != 1 {
			t.Errorf("%+v", got)
		}
	})
}

func (somebody) KeyStood(*db.Tx, string, time.Time) (bool, error) { return true, nil }
