package dataset

import (
	"slices"
	"strings"
	"testing"
)

func TestLookAt(t *testing.T) {
	tests := []struct {
		sql        string
		reads      string // sorted
		statements int
		open       string
	}{
		{"select * from a", "a", 1, ""},
		{"SELECT * FROM A, b AS x JOIN \"C\" ON x.i = c.i, d WHERE e = 1", "a b c d", 1, ""},
		{"with a as (select 1), b(i) as materialized (select * from c) select * from a, b, d", "c d", 1, ""},
		{"select (select max(x) from a), extract(year from b), trim(both ' ' from c) from d", "a d", 1, ""},
		{"from a select x", "a", 1, ""},
		{"select * from (from a), (b join c using (i)), lateral (select * from d)", "a b c d", 1, ""},
		{"select * from range(10) r, unnest([1]) u, a", "a", 1, ""},
		{"select 'from x', $$ from y $$, $q$ from z; $q$, e'\\' from w' from a -- from b\n/* from /* c */ d */;", "a", 1, ""},
		{"select a.b from s.t, u", "u", 1, ""},
		{"select 1; ;", "", 1, ""},
		{"select 1;select 2;", "", 2, ""},
		{"select \"", "", 1, "name in double quotes"},
		{"select $x$ ... $y$", "", 1, "text in $x$"},
		{"select $1, ? from a", "a", 1, ""},
		{"select * from a union all select * from b order by c, d", "a b", 1, ""},
		{"select * from a where x in (select y from b) and exists (from c)", "a b c", 1, ""},
		{"select interval '1' day, date '2001-01-01' from a where s in ('x', 'y')", "a", 1, ""},
		{"", "", 0, ""},
	}
	for _, test := range tests {
		f := lookAt(test.sql, sqlWords())
		slices.Sort(f.reads)
		if got := strings.Join(f.reads, " "); got != test.reads || f.statements != test.statements || f.open != test.open {
			t.Errorf("%s\nreads %q, %d statements, open %q", test.sql, got, f.statements, f.open)
		}
		if len(f.files) > 0 || len(f.functions) > 0 {
			t.Errorf("%s\nfiles %q, functions %q", test.sql, f.files, f.functions)
		}
	}
	if !slices.IsSorted(sqlWords()) {
		t.Error("the words of SQL are not sorted")
	}
	if f := lookAt("select getvariable( 'interval_end' )", sqlWords()); !f.interval {
		t.Error("the interval was not seen")
	}
	if f := lookAt("select 'interval_end'", sqlWords()); f.interval {
		t.Error("a text is no interval")
	}
	if f := lookAt("select * from 'a.csv' join 'b.csv' using (i)", sqlWords()); strings.Join(f.files, " ") != "a.csv b.csv" {
		t.Error(f.files)
	}
}

// Any text is looked at without harm, and what is read is among what is mentioned.
func FuzzLookAt(f *testing.F) {
	f.Add("with a as (select 1) select * from a, (b join 'c') where extract(year from d) = $$e$$; -- x")
	f.Add("/* /* */ \"\"\"\" e'\\'' 'it''s' $a$ $a$ ((((")
	f.Fuzz(func(t *testing.T, sql string) {
		facts := lookAt(sql, sqlWords())
		for _, name := range facts.reads {
			if !facts.mentions[name] {
				t.Errorf("%q is read and not mentioned", name)
			}
		}
		if facts.statements == 0 && (facts.first != "" && facts.first != ";") {
			t.Errorf("no statement begins with %q", facts.first)
		}
	})
}
