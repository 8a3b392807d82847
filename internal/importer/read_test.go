package importer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"caos"
	"caos/examples/programme"
	"caos/internal/importer"
)

func file(t testing.TB, name string) []byte {
	t.Helper()
	data, err := programme.Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestReadAsTheyAre reads a programme's own files.
func TestReadAsTheyAre(t *testing.T) {
	for name, want := range map[string]string{
		programme.Registry:     "registry 19",
		programme.Traceability: "traceability 65",
		programme.Readiness:    "readiness 12",
	} {
		p, err := importer.Read("some/folder/"+name, file(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(p.Kind, " ", p.Entries()); got != want || p.Name != name {
			t.Errorf("%s: %s, want %s", p.Name, got, want)
		}
	}
}

// change returns the file with one place changed, which has to be there once.
func change(t *testing.T, name, old, fresh string) []byte {
	t.Helper()
	text := string(file(t, name))
	if n := strings.Count(text, old); n != 1 {
		t.Fatalf("%q is %d times in %s", old, n, name)
	}
	return []byte(strings.Replace(text, old, fresh, 1))
}

// TestBrokenIsRefusedWhole breaks the real files one place at a time.
func TestBrokenIsRefusedWhole(t *testing.T) {
	const reg, matrix, ready = programme.Registry, programme.Traceability, programme.Readiness
	firstRow := "95-00-03-REQ-001,Requirement,95-00-09-01-001,Process,IMPL,Model freeze implements requirement traceability,ACTIVE,2025-11-17,Production Planning Board\n"
	for _, c := range []struct{ name, file, old, fresh, place, field, say string }{
		{"cut off", reg, "\n  ]\n}\n", "\n  ]\n", "line 247, column 1", "", "ends too early"},
		{"no comma", reg, `"status": "ACTIVE",`, `"status": "ACTIVE"`, "line 8, column 5", "registry_metadata", "a comma"},
		{"last comma", reg, "\"author\": \"Production Planning Board\"\n", "\"author\": \"Production Planning Board\",\n", "line 245, column 5", "change_log[0]", "last comma"},
		{"key twice", reg, `"model_name": "Flight Control System Neural Network",`, `"model_id": "NN-FCS-001",`, "line 13, column 7", "models[0].model_id", "twice"},
		{"key twice by escape", reg, `"model_name": "Flight Control System Neural Network",`, `"\u006dodel_id": "NN-FCS-001",`, "line 13, column 7", "models[0].model_id", "twice"},
		{"section twice", reg, `"change_log": [`, `"models": [`, "line 238, column 3", "models", "twice"},
		{"comment", reg, `"models": [`, `// here` + "\n" + `"models": [`, "line 10, column 3", "", "a key"},
		{"text for truth", reg, `"performance_validated": true`, `"performance_validated": "true"`, "line 119, column 32", "hardware_targets[0].performance_validated", "true or false belongs here"},
		{"number for text", reg, `"safety_level": "DAL-A"`, `"safety_level": 1`, "line 20, column 23", "models[0].safety_level", "not a number"},
		{"text for number", reg, `"data_volume_gb": 250`, `"data_volume_gb": "250"`, "line 69, column 25", "data_pipelines[0].data_volume_gb", "a number belongs here"},
		{"text for list", reg, `["NVIDIA_AGX_XAVIER", "Intel_Xeon_D"]`, `"NVIDIA_AGX_XAVIER"`, "line 19, column 27", "models[0].target_platforms", "a list of texts"},
		{"number in list", reg, `["NVIDIA_AGX_XAVIER", "Intel_Xeon_D"]`, `["NVIDIA_AGX_XAVIER", 7]`, "line 19, column 49", "models[0].target_platforms[1]", "a text"},
		{"null for text", reg, `"model_name": "Engine Health Monitoring NN"`, `"model_name": null`, "line 29, column 21", "models[1].model_name", "not null"},
		{"no such day", reg, `"freeze_date": "2025-10-15"`, `"freeze_date": "2025-02-30"`, "line 16, column 22", "models[0].freeze_date", "not a day"},
		{"day the other way", reg, `"freeze_date": "2025-10-15"`, `"freeze_date": "15.10.2025"`, "line 16, column 22", "models[0].freeze_date", "not a day"},
		{"no safety level", reg, `"safety_level": "DAL-A"`, `"safety_level": "DAL-F"`, "line 20, column 23", "models[0].safety_level", "no safety level"},
		{"no phase", reg, `"industrialization_phase": "PREPARATION"`, `"industrialization_phase": "SOON"`, "line 34, column 34", "models[1].industrialization_phase", "no phase"},
		{"model id", reg, `"model_id": "NN-NAV-001"`, `"model_id": "NAV-001"`, "line 44, column 19", "models[2].model_id", "not a model id"},
		{"model without id", reg, `"model_id": "NN-NAV-001",`, ``, "line 43, column 5", "models[2].model_id", "has no model_id"},
		{"model without version", reg, `"version": "3.0.1",`, ``, "line 43, column 5", "models[2].version", "has no version"},
		{"version", reg, `"version": "3.0.1"`, `"version": "3.0"`, "line 46, column 18", "models[2].version", "not a version"},
		{"baseline", reg, `"baseline_id": "BL-ENG-1.5.2"`, `"baseline_id": "ENG 1.5.2"`, "line 33, column 22", "models[1].baseline_id", "not a baseline id"},
		{"model twice", reg, `"model_id": "NN-ENG-001",` + "\n" + `      "model_name": "Engine Health Monitoring NN",` + "\n" + `      "version": "1.5.2"`,
			`"model_id": "NN-FCS-001",` + "\n" + `      "model_name": "Engine Health Monitoring NN",` + "\n" + `      "version": "2.1.0"`, "line 28, column 19", "models[1].model_id", "in line 11"},
		{"component twice", reg, `"component_id": "SC-LIB-002"`, `"component_id": "SC-LIB-001"`, "line 162, column 23", "supply_chain_components[1].component_id", "in line 148"},
		{"associated model", reg, `"associated_models": ["NN-ENG-001"],` + "\n" + `      "data_sources"`, `"associated_models": ["ENG"],` + "\n" + `      "data_sources"`, "line 79, column 29", "data_pipelines[1].associated_models[0]", "not a model id"},
		{"section is no list", reg, `"hardware_targets": [`, `"hardware_targets": 7, "hardware": [`, "line 112, column 23", "hardware_targets", "a list belongs here"},
		{"half a surrogate", reg, `"Engine Health Monitoring NN"`, `"Engine \ud800"`, "line 29", "models[1].model_name", "surrogate"},
		{"NUL by escape", reg, `"Engine Health Monitoring NN"`, `"Engine\u0000"`, "line 29, column 21", "models[1].model_name", "U+0000"},
		{"huge number", reg, `"quality_score": 0.97`, `"quality_score": 1e999`, "line 70, column 24", "data_pipelines[0].quality_score", "range"},
		{"not UTF-8", reg, `"Engine Health Monitoring NN"`, "\"Engine \xe9\"", "line 29, column 29", "", "0xe9 is not UTF-8"},
		{"deep", reg, `"quality_score": 0.97`, `"x": ` + strings.Repeat("[", 40) + strings.Repeat("]", 40), "line 70, column 41", "data_pipelines[0].x" + strings.Repeat("[0]", 29), "nested"},

		{"a cell too many", matrix, ",Data Engineering Lead\n", ",Data Engineering Lead,\n", "line 3, column 1", "", "10 cells, the header has 9"},
		{"a cell too few", matrix, "ACTIVE,2025-11-17,Data Engineering Lead\n", "ACTIVE,2025-11-17\n", "line 3, column 1", "", "8 cells, the header has 9"},
		{"relation", matrix, "Baseline,DRVF,Production baseline", "Baseline,DERIVES,Production baseline", "line 5, column 50", "Relationship", `"DERIVES" is not known`},
		{"relation in lower case", matrix, "Baseline,DRVF,Production baseline", "Baseline,drvf,Production baseline", "line 5, column 50", "Relationship", "not known"},
		{"no relation", matrix, "Baseline,DRVF,Production baseline", "Baseline,,Production baseline", "line 5, column 50", "Relationship", "not known"},
		{"day", matrix, "ACTIVE,2025-11-17,Data Engineering Lead", "ACTIVE,2025-13-17,Data Engineering Lead", "line 3, column 122", "Last_Verified", "not a day"},
		{"no status", matrix, "ACTIVE,2025-11-17,Data Engineering Lead", ",2025-11-17,Data Engineering Lead", "line 3, column 115", "Status", "missing"},
		{"source id", matrix, "95-00-03-REQ-002,", "=95-00-03-REQ-002,", "line 3, column 1", "Source_ID", "resource id"},
		{"to itself", matrix, firstRow, strings.Replace(firstRow, "95-00-09-01-001", "95-00-03-REQ-001", 1), "line 2, column 30", "Target_ID", "from one thing to another"},
		{"a row twice", matrix, firstRow, firstRow + strings.Replace(firstRow, "Model freeze", "A freeze", 1), "line 3, column 1", "Source_ID", "in line 2 already"},
		{"quote in a cell", matrix, "Model freeze implements", `Model "freeze" implements`, "line 2, column", "", "double quote"},
		{"open quote", matrix, "Model freeze implements", `"Model freeze implements`, "", "", "double quotes, begun in line 2"},
		{"quote and more", matrix, "Model freeze implements requirement traceability", `"Model freeze" implements`, "line 2, column", "", "double quote"},
		{"matrix not UTF-8", matrix, "Model freeze implements", "Model fr\xe9\xe9ze implements", "line 2, column 67", "", "not UTF-8"},
		{"NUL", matrix, "Model freeze implements", "Model\x00freeze implements", "line 2, column 64", "", "NUL"},
		{"control character", matrix, "Model freeze implements", "Model\x1bfreeze implements", "line 2, column 59", "Rationale", "control character"},
		{"column missing", matrix, "Relationship,Rationale", "Relationship,Why", "line 1, column 1", "Rationale", "is missing"},
		{"column twice", matrix, "Relationship,Rationale", "Relationship,Rationale,Rationale", "line 1, column 68", "Rationale", "twice"},
		{"column in lower case", matrix, "Source_ID,", "source_id,", "line 1, column 1", "", "none of the files"},
		{"semicolons", matrix, "Source_ID,Source_Type,Target_ID", "Source_ID;Source_Type;Target_ID", "line 1, column 1", "", "none of the files"},

		{"readiness: a cell too many", ready, "FMEA complete", "FMEA, complete", "line 4, column 1", "", "7 cells, the header has 6"},
		{"readiness: day", ready, "2025-12-01", "1 December", "line 11", "Target_Date", "not a day"},
		{"readiness: no item", ready, "Model,Safety Approved,", "Model,,", "line 4, column 7", "Item", "empty"},
		{"readiness: item twice", ready, "Model,Safety Approved,", "Model,Performance Validated,", "line 4, column 7", "Item", "in line 3 already"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := importer.Read(c.file, change(t, c.file, c.old, c.fresh))
			var e *caos.Error
			if !errors.As(err, &e) || p != nil {
				t.Fatalf("got %v, %v", p, err)
			}
			if e.Kind != caos.Invalid && e.Kind != caos.TooLarge || e.Field != c.field ||
				!strings.Contains(e.Message, c.file+", "+c.place) || !strings.Contains(e.Message, c.say) {
				t.Errorf("%s %q: %s (%s); want %q, %q, %q", e.Kind, e.Field, e.Message, e.Hint, c.field, c.place, c.say)
			}
		})
	}
}

const oneModel = `{"model_id": "NN-A-001", "model_name": "A", "version": "1.0.0", "safety_level": "DAL-E"}`

func manySections(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `, "s%d": 1`, i)
	}
	return b.String()
}

// TestOtherFiles refuses what is none of the files, and says what is.
func TestOtherFiles(t *testing.T) {
	const header = "Source_ID,Source_Type,Target_ID,Target_Type,Relationship,Rationale,Status,Last_Verified,Verified_By\n"
	for name, c := range map[string]struct{ text, say string }{
		"empty":             {"", "is empty"},
		"blank":             {" \n\n", "is empty"},
		"other JSON":        {`{"a": 1}`, "no industrialisation registry"},
		"list":              {`[]`, "no industrialisation registry"},
		"no models":         {`{"models": []}`, "has no entry"},
		"models no list":    {`{"models": {}}`, "line 1, column 12: a list belongs here"},
		"model no object":   {`{"models": ["NN-FCS-001"]}`, "an object belongs here"},
		"JSON with mark":    {"\xef\xbb\xbf{}", "byte order mark"},
		"UTF-16":            {"\xff\xfe{\x00", "UTF-16"},
		"workbook":          {"PK\x03\x04aaaa", "a workbook"},
		"words":             {"Dear all,\nplease find attached", "none of the files"},
		"header alone":      {header, "no rows"},
		"row of nothing":    {header + ",,,,,,,,\n", "line 2, column 1"},
		"only a quote":      {`"`, "line 1, column"},
		"too large":         {strings.Repeat(" ", importer.MaxBytes+1), "the limit is"},
		"long cell":         {header + "A,B,C,D,IMPL," + strings.Repeat("x", 5000) + ",ACTIVE,,\n", "line 2, column 14: the cell has 5000 bytes"},
		"many rows":         {header + strings.Repeat("A,B,C,D,IMPL,,ACTIVE,,\n", 2), "in line 2 already"},
		"many sections":     {`{"models": []` + manySections(100) + `}`, "more than 100 sections"},
		"a long list":       {`{"models": [], "hardware_targets": [{"target_id": "H", "associated_models": [` + strings.TrimSuffix(strings.Repeat(`"NN-A-001",`, 1001), ",") + `]}]}`, "1001 items, the limit is 1000"},
		"a long entry":      {`{"models": [], "x": [{"y": "` + strings.Repeat("y", 300_000) + `"}]}`, "the entry has 300008 bytes"},
		"copies":            {`{"models": [` + oneModel + `], "x": [` + strings.TrimSuffix(strings.Repeat(`{"model_id": "NN-A-001", "y": "`+strings.Repeat("y", 150_000)+`"},`, 7), ",") + `]}`, "too many for its industrialisation record"},
		"a long line":       {header + strings.Repeat("a,", 200_000), "line 2, column 1: the line has 400000 bytes"},
		"many entries":      {`{"models": [], "x": [` + strings.Repeat(`{"a": 1},`, 20_000) + `{"b": 1}]}`, "more than 20000 entries"},
		"many values":       {`{"models": [], "x": [` + strings.Repeat(`[],`, 400_000) + `1]}`, "more than 320000 values"},
		"name of a section": {`{"registry_metadata": {}, "a\nb": 1}`, "the name of a section"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := importer.Read("x", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.say) {
				t.Errorf("%v, want %q", err, c.say)
			}
		})
	}
	for _, name := range []string{"", "/", "..", "a/..", strings.Repeat("x", 300), "a\nb", "\xff"} {
		if _, err := importer.Read(name, file(t, programme.Readiness)); err == nil || caos.AsError(err).Field != "name" {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

// TestTolerated reads what other programs make of the same tables.
func TestTolerated(t *testing.T) {
	matrix := string(file(t, programme.Traceability))
	for name, text := range map[string]string{
		"CRLF":             strings.ReplaceAll(matrix, "\n", "\r\n"),
		"byte order mark":  "\xef\xbb\xbf" + matrix,
		"no last line end": strings.TrimSuffix(matrix, "\n"),
		"quoted":           strings.Replace(matrix, "95-00-03-REQ-001", `"95-00-03-REQ-001"`, 1),
	} {
		if p, err := importer.Read("m.csv", []byte(text)); err != nil || p.Entries() != 65 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEqualEntries reads a file that says the same thing many times, in the time that it
// takes to read it once.
func TestEqualEntries(t *testing.T) {
	p, err := importer.Read("r.json", []byte(`{"models": [], "x": [`+strings.Repeat(`{"a": 1},`, 19_999)+`{"b": 1}]}`))
	if err != nil || p.Entries() != 20_000 {
		t.Fatal(err)
	}
}
