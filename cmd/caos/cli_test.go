package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/evidence"
)

func TestExitCodes(t *testing.T) {
	cases := []struct {
		err  error
		want int
	}{
		{nil, 0}, {errors.New("x"), 1}, {failed(), 1}, {&ended{2}, 2}, {errStopped, 1},
		{usage("x"), 2}, {errors.New(`unknown command "x" for "caos"`), 2}, {errors.New(`required flag(s) "package" not set`), 2},
		{fmt.Errorf("file: %w", caos.Errorf(caos.Conflict, "x")), 5},
		{&client.Refusal{Status: 503, Err: caos.Errorf(caos.Unavailable, "x")}, 6},
	}
	kinds := map[caos.Kind]int{caos.Invalid: 2, caos.TooLarge: 2, caos.Unauthenticated: 3, caos.StepUp: 3, caos.Denied: 3, caos.NotFound: 4,
		caos.Conflict: 5, caos.Limited: 6, caos.Unavailable: 6, caos.Full: 6, caos.Internal: 1}
	for kind, want := range kinds {
		cases = append(cases, struct {
			err  error
			want int
		}{caos.Errorf(kind, "x"), want})
	}
	for _, tc := range cases {
		if got := exitCode(tc.err); got != tc.want {
			t.Errorf("%v: %d, want %d", tc.err, got, tc.want)
		}
	}
}

// newTest is an environment whose output is kept.
func newTest() (*environment, *bytes.Buffer, *bytes.Buffer) {
	var out, errs bytes.Buffer
	e := newEnvironment(os.Stdin, os.Stdout, os.Stderr, func(string) string { return "" })
	e.out, e.err, e.terminal, e.errTerminal, e.paint, e.errPaint, e.width, e.format = &out, &errs, false, false, newPaint(false), newPaint(false), 0, "text"
	return e, &out, &errs
}

// What a server or an artifact says is not obeyed by the terminal.
func TestForeignTextIsHarmless(t *testing.T) {
	e, out, errs := newTest()
	e.pairs(pair{"title", "a\x1b[2Jb\nc\u202ed"})
	e.table([]string{"x"}, [][]string{{"\x1b]0;evil\x07"}})
	e.report(caos.Errorf(caos.Invalid, "bad \x1b[31m").WithHint("do\x07"))
	for _, b := range []string{out.String(), errs.String()} {
		if strings.ContainsAny(b, "\x1b\x07\u202e") {
			t.Errorf("%q", b)
		}
	}
	if got := errs.String(); got != "caos: bad ·[31m\nhint: do·\n" {
		t.Errorf("%q", got)
	}
}

func TestTable(t *testing.T) {
	e, out, _ := newTest()
	e.table([]string{"id", "what"}, [][]string{{"é", "one"}, {"long id", "a sentence"}})
	want := "ID       WHAT\né        one\nlong id  a sentence\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	out.Reset()
	e.width = 20
	e.table([]string{"id", "what"}, [][]string{{"long id", "a sentence that is too long"}})
	if want := "ID       WHAT\nlong id  a sentence…\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	out.Reset()
	if e.table([]string{"id"}, nil); out.String() != "none\n" {
		t.Errorf("%q", out.String())
	}
}

func TestColumn(t *testing.T) {
	const table = "\ufeffa,b,c\n1,x,\n2,y,p\n2,y,p\n 3 ,x,q\n,x,q\n4\n"
	cases := []struct {
		name  string
		where []string
		want  string
		bad   bool
	}{
		{"a", nil, "1 2 3 4", false}, {"a", []string{"b=x"}, "1 3", false}, {"a", []string{"b=x", "c=q"}, "3", false},
		{"c", nil, "p q", false}, {"d", nil, "", true}, {"a", []string{"b"}, "", true}, {"a", []string{"e=1"}, "", true}, {"a", []string{"b=z"}, "", true},
	}
	for _, tc := range cases {
		ids, err := column(strings.NewReader(table), tc.name, tc.where)
		if got := strings.Join(ids, " "); got != tc.want || (err != nil) != tc.bad {
			t.Errorf("%s %v: %q %v", tc.name, tc.where, got, err)
		}
		if tc.bad && caos.KindOf(err) != caos.Invalid {
			t.Errorf("%s %v: %v", tc.name, tc.where, err)
		}
	}
}

func FuzzColumn(f *testing.F) {
	f.Add("a,b\n1,2\n", "a", "b=2")
	f.Fuzz(func(t *testing.T, table, name, where string) {
		ids, err := column(strings.NewReader(table), name, []string{where})
		if err == nil && len(ids) == 0 {
			t.Error("nothing, and no error")
		}
	})
}

func TestGuess(t *testing.T) {
	cases := map[string]evidence.Type{"a.XML": evidence.TestResult, "x/y.sarif": evidence.TestResult, "t.log": evidence.Log, "r.pdf": evidence.Document,
		"https://h/r.json": evidence.Document, "a": "", "a.bin": ""}
	for name, want := range cases {
		typ, format := guess(name)
		if typ != want {
			t.Errorf("%s: %s, want %s", name, typ, want)
		}
		if typ != "" && !contains(typ.Formats(), format) {
			t.Errorf("%s: %s is not written as %s", name, typ, format)
		}
	}
}

func contains(list []evidence.Format, f evidence.Format) bool {
	for _, x := range list {
		if x == f {
			return true
		}
	}
	return false
}

func TestIsYAML(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		want       bool
	}{{"a.json", "a: 1", false}, {"a.yaml", "{}", true}, {"-", " {}", false}, {"-", "a: 1", true}, {"a.yml", "", true}} {
		if got := isYAML(tc.name, []byte(tc.body)); got != tc.want {
			t.Errorf("%s %q: %t", tc.name, tc.body, got)
		}
	}
}

func TestFold(t *testing.T) {
	if got := fold("one two three", 7); got != "one two\nthree" {
		t.Errorf("%q", got)
	}
	if got := fold("averylongword a", 4); got != "averylongword\na" {
		t.Errorf("%q", got)
	}
}

func TestBytesOf(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 30: "5.0 GiB", 3 << 40: "3.0 TiB"} {
		if got := bytesOf(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// A file is written whole or not at all, and none is written over by accident.
func TestWriteWhole(t *testing.T) {
	t.Chdir(t.TempDir())
	put := func(text string, err error) func(w io.Writer) error {
		return func(w io.Writer) error {
			_, _ = w.Write([]byte(text))
			return err
		}
	}
	write := func(overwrite bool, text string, fail error) error {
		fn := put(text, fail)
		return writeWhole("f", overwrite, func(w io.Writer) error { return fn(w) })
	}
	if err := write(false, "half", errors.New("broke off")); err == nil {
		t.Error("no error")
	}
	if left, _ := os.ReadDir("."); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := write(false, "one", nil); err != nil {
		t.Error(err)
	}
	if err := write(false, "two", nil); caos.KindOf(err) != caos.Conflict {
		t.Errorf("%v", err)
	}
	if err := write(true, "three", nil); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile("f"); string(text) != "three" {
		t.Errorf("%q %v", text, err)
	}
}

// Every command says what it does and how it is called, and refuses what it does not take.
func TestEveryCommandIsDescribed(t *testing.T) {
	e, _, _ := newTest()
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: %q is not one line about it", c.CommandPath(), c.Short)
		}
		if c.Args == nil {
			t.Errorf("%s takes any argument", c.CommandPath())
		}
		if c.RunE == nil {
			t.Errorf("%s does nothing", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(e))
}

// Help is read in a terminal of 80 columns, and its examples are copied out of it.
func TestHelpFits(t *testing.T) {
	e, out, _ := newTest()
	e.width = 80
	root := newRoot(e)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		out.Reset()
		e.help(c)
		for line := range strings.SplitSeq(out.String(), "\n") {
			if len([]rune(line)) > 80 {
				t.Errorf("%s --help: %d columns: %s", c.CommandPath(), len([]rune(line)), line)
			}
		}
		text := strings.Join(strings.Fields(strings.ReplaceAll(out.String(), "\\\n", " ")), " ")
		for example := range strings.SplitSeq(c.Example, "\n") {
			if example = strings.Join(strings.Fields(strings.TrimSuffix(example, "\\")), " "); !strings.Contains(text, example) {
				t.Errorf("%s --help does not have %q whole", c.CommandPath(), example)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// Hints are for typing: what they name exists.
func TestHintsNameCommands(t *testing.T) {
	e, _, _ := newTest()
	root := newRoot(e)
	root.InitDefaultCompletionCmd()
	mention := regexp.MustCompile(`\bcaos ([a-z]+)(?: ([a-z-]+))?`)
	seen := 0
	for _, dir := range []string{"../../internal", ".", "../../README.md", "../../docs", "../../ARCHITECTURE.md", "../../CONTRIBUTING.md"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			ext := filepath.Ext(path)
			if ext != ".go" && ext != ".md" && ext != ".txtar" {
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for n, line := range strings.Split(string(text), "\n") {
				switch {
				case ext == ".go" && (strings.Contains(line, "WithHint(") || strings.Contains(line, "Remedy:") || strings.Contains(line, "settingError(")):
				case ext == ".md" && (strings.HasPrefix(line, "caos ") || strings.Contains(line, "`caos ")):
				default:
					continue
				}
				for _, m := range mention.FindAllStringSubmatch(line, -1) {
					if m[1] == "binary" { // a sentence about the program
						continue
					}
					seen++
					c, _, err := root.Find(m[1:2])
					if err == nil && c != root && c.HasSubCommands() && m[2] != "" {
						_, rest, findErr := root.Find(m[1:3])
						if err = findErr; len(rest) > 0 {
							err = fmt.Errorf("%s has no %s", c.CommandPath(), rest[0])
						}
					}
					if err != nil || c == root {
						t.Errorf("%s:%d: %q is not a command: %v", path, n+1, m[0], err)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if seen < 30 {
		t.Errorf("saw only %d commands in hints", seen)
	}
}
