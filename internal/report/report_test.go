package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files")

func render(t testing.TB, r *Review) (page, file []byte) {
	t.Helper()
	var h, p bytes.Buffer
	if err := errors.Join(HTML(&h, r), PDF(&p, r)); err != nil {
		t.Fatal(err)
	}
	return h.Bytes(), p.Bytes()
}

func TestGolden(t *testing.T) {
	for name, edition := range map[string]int{"before": beforeVotes, "decided": afterDecision, "closed": afterConditions} {
		page, _ := render(t, sample(edition))
		golden := filepath.Join("testdata", name+".html")
		if *update {
			if err := os.WriteFile(golden, page, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(page, want) {
			t.Errorf("%s differs; look at it, then run the test with -update", golden)
		}
	}
}

func TestEqualInputGivesEqualBytes(t *testing.T) {
	for range 3 {
		for _, make := range []func() *Review{large, hostile, func() *Review { return &Review{} }} {
			page, file := render(t, make())
			page2, file2 := render(t, make())
			if !bytes.Equal(page, page2) || !bytes.Equal(file, file2) {
				t.Fatal("two renderings differ")
			}
		}
	}
}

// allowed are the elements of the HTML; whatever else were there came from a text.
var allowed = strings.Fields("html head meta title style body svg defs symbol circle path rect use text desc header main footer section nav " +
	"p h1 h2 h3 dl div dt dd ul ol li table colgroup col thead tbody tr th td a b span code pre bdi br")

// checkHTML wants well-formed markup of known elements without anything that acts, and
// returns its text.
func checkHTML(t testing.TB, page []byte) string {
	t.Helper()
	return checkHTMLOf(t, page, allowed)
}

// allowedWith are those elements and a few more, for reports that have them.
func allowedWith(more ...string) []string { return append(append([]string{}, allowed...), more...) }

func checkHTMLOf(t testing.TB, page []byte, allowed []string) string {
	t.Helper()
	var text strings.Builder
	d := xml.NewDecoder(bytes.NewReader(page))
	for {
		token, err := d.Token()
		if err == io.EOF {
			return text.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		switch x := token.(type) {
		case xml.CharData:
			text.Write(x)
			text.WriteByte(' ')
		case xml.StartElement:
			if !strings.Contains(" "+strings.Join(allowed, " ")+" ", " "+x.Name.Local+" ") {
				t.Fatalf("element %s", x.Name.Local)
			}
			for _, a := range x.Attr {
				if name := a.Name.Local; strings.HasPrefix(name, "on") || name == "src" || name == "style" ||
					name == "href" && !strings.HasPrefix(a.Value, "#") && !strings.HasPrefix(a.Value, "https://") && !strings.HasPrefix(a.Value, "http://") {
					t.Fatalf("attribute %s=%q", name, a.Value)
				}
			}
		}
	}
}

func TestHostileTextsNeitherActNorBreak(t *testing.T) {
	for _, r := range []*Review{hostile(), {}, {Verdicts: make([]Verdict, 3), Votes: make([]Vote, 2), Conditions: make([]Condition, 2), Risks: Risks{Risks: make([]Risk, 2)}, Members: make([]Member, 1)}} {
		page, file := render(t, r)
		text := checkHTML(t, page)
		for _, sign := range "\u202E\u2066\u200B\uFEFF\x00\x1b\x07" {
			if strings.ContainsRune(text, sign) {
				t.Errorf("sign %U is in the text", sign)
			}
		}
		for _, word := range []string{"/JavaScript", "/Launch", "/OpenAction [", "javascript:"} {
			if word != "/OpenAction [" && bytes.Contains(file, []byte(word)) {
				t.Errorf("the PDF contains %s", word)
			}
		}
	}
}

// TestEachIDIsInBoth gives every text of the sample a word of its own and looks for it.
func TestEachIDIsInBoth(t *testing.T) {
	r := sample(afterConditions)
	var ids []string
	collect(reflect.ValueOf(r).Elem(), &ids)
	page, _ := render(t, r)
	text := checkHTML(t, page)
	d := build(r)
	faces, err := newTypefaces()
	if err != nil {
		t.Fatal(err)
	}
	inPDF := pdfText(faces, d)
	for _, id := range ids {
		if !strings.Contains(text, id) {
			t.Errorf("%s is not in the HTML", id)
		}
		if !strings.Contains(inPDF, id) {
			t.Errorf("%s is not in the PDF", id)
		}
	}
	if len(ids) < 60 {
		t.Errorf("only %d ids were looked for", len(ids))
	}
}

var idField = regexp.MustCompile(`ID$|^Evidence$|^Items$|^Covers$|^Packages$`)

func collect(v reflect.Value, ids *[]string) {
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			collect(v.Index(i), ids)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			f := v.Field(i)
			if idField.MatchString(v.Type().Field(i).Name) {
				if f.Kind() == reflect.String && f.String() != "" {
					*ids = append(*ids, f.String())
				}
				if list, ok := f.Interface().([]string); ok {
					*ids = append(*ids, list...)
				}
			}
			collect(f, ids)
		}
	}
}

// pdfText is what the setter makes of every cell of the document: the words of the PDF.
func pdfText(f *typefaces, d *document) string {
	var b strings.Builder
	put := func(c cell) {
		for _, r := range f.set(c, how{tableSize, 60}) {
			for _, x := range r.runs {
				b.WriteString(x.text)
			}
		}
		b.WriteByte(' ')
	}
	for _, s := range d.sections {
		for _, x := range s.blocks {
			switch x := x.(type) {
			case masthead:
				put(cell{{t(x.title)}})
				for _, f := range x.facts {
					put(f.value)
				}
			case paragraph:
				put(cell{x.text})
			case facts:
				for _, f := range x.list {
					put(f.value)
				}
			case table:
				for _, row := range x.rows {
					for _, c := range row {
						put(c)
					}
				}
			}
		}
	}
	return b.String()
}

func FuzzReport(f *testing.F) {
	for _, s := range evil {
		f.Add(s, 2, 3)
	}
	f.Fuzz(func(t *testing.T, s string, n, m int) {
		if len(s) > 5000 {
			return
		}
		r := sample(n & 3)
		r.PRRID, r.Classification, r.ModelName, r.VoteLink, r.DecisionNote, r.Best = s, s, s, s, s, s
		r.Risks.Risks[0].RiskID, r.Risks.Risks[0].Likelihood, r.Risks.Risks[1].ResidualImpact = s, n, m
		r.Risks.Scale = []RiskLevel{{s, n, m}, {s, m, n}}
		r.Checklist.Items[3].Note, r.Baseline.Files[0].Name, r.Validation.Tests[0].Note = s, s, s
		r.NextSteps, r.Verification[0].Command = []string{s}, s
		page, _ := render(t, r)
		checkHTML(t, page)
	})
}

func BenchmarkHTML(b *testing.B) {
	r := large()
	for b.Loop() {
		if err := HTML(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPDF(b *testing.B) {
	r := large()
	for b.Loop() {
		if err := PDF(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
}
