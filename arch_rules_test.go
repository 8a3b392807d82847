package caos_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"golang.org/x/mod/modfile"
)

type budget struct {
	fileLines, functionLines, interfaceMethods, parameters, chain, packages int
}

// closure is everything one program may stand on.
type closure struct {
	program  string
	packages []string // of this module
	external []string // prefixes of import paths outside the standard library
}

// source is one Go file.
type source struct {
	name      string // slash-separated, from the root of the repository
	dir       string // the same without the file; "" is the root
	text      []byte
	syntax    *ast.File
	generated bool
	test      bool // named _test.go, or in a package that only tests import
}

// tree is a repository: the real one, or a few lines that break a rule on purpose.
type tree struct {
	fset  *token.FileSet
	files []source
	texts map[string][]byte // every file that is text, Go files included
	names map[string]bool   // every file and folder
	gomod []byte
}

type rule struct {
	name  string
	check func(*tree) []string
}

func rules() []rule {
	return []rule{
		{"levels", checkLevels},
		{"edges", checkEdges},
		{"chain", checkChain},
		{"package count", checkPackageCount},
		{"package names", checkPackageNames},
		{"package comments", checkPackageComments},
		{"file length", checkFileLength},
		{"function length", checkFunctionLength},
		{"interface size", checkInterfaces},
		{"parameters", checkParameters},
		{"no init", checkInit},
		{"no package state", checkPackageState},
		{"no context.TODO", checkContextTODO},
		{"no sleep in tests", checkSleep},
		{"dependencies", checkDependencies},
		{"cgo free", checkCgo},
		{"verifier", checkVerifier},
		{"words", checkWords},
		{"links", checkLinks},
	}
}

// skipDir are folders that hold no source of ours.
func skipDir(name string) bool {
	return name == ".git" || name == "bin" || name == "dist" || name == "coverage" ||
		name == "node_modules" || strings.HasPrefix(name, "caos-data")
}

// readTree reads a repository. A folder with a go.mod of its own is another module: its
// words are checked, its Go code is not.
func readTree(root fs.FS) (*tree, error) {
	t := &tree{fset: token.NewFileSet(), texts: map[string][]byte{}, names: map[string]bool{}}
	nested := map[string]bool{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		t.names[name] = true
		if d.IsDir() {
			if name != "." && skipDir(d.Name()) {
				return fs.SkipDir
			}
			if _, err := fs.Stat(root, path.Join(name, "go.mod")); err == nil && name != "." {
				nested[name] = true
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err != nil || info.Size() > 2<<20 {
			return err
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		if bytes.IndexByte(text, 0) >= 0 || !utf8.Valid(text) {
			return nil
		}
		t.texts[name] = text
		if name == "go.mod" {
			t.gomod = text
		}
		if path.Ext(name) != ".go" || inside(nested, name) || strings.Contains(name, "testdata/") {
			return nil
		}
		return t.add(name, text)
	})
	return t, err
}

func inside(dirs map[string]bool, name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if dirs[dir] {
			return true
		}
	}
	return false
}

func (t *tree) add(name string, text []byte) error {
	syntax, err := parser.ParseFile(t.fset, name, text, parser.ParseComments)
	if err != nil {
		return err
	}
	dir := path.Dir(name)
	if dir == "." {
		dir = ""
	}
	t.files = append(t.files, source{
		name: name, dir: dir, text: text, syntax: syntax,
		generated: ast.IsGenerated(syntax),
		test:      strings.HasSuffix(name, "_test.go") || testOnly[dir],
	})
	return nil
}

// at says where a node is.
func (t *tree) at(n ast.Node) string {
	p := t.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

func (t *tree) lines(n ast.Node) int {
	return t.fset.Position(n.End()).Line - t.fset.Position(n.Pos()).Line + 1
}

// written calls fn for every file that a person wrote.
func (t *tree) written(fn func(source)) {
	for _, f := range t.files {
		if !f.generated {
			fn(f)
		}
	}
}

// packages lists the folders that hold more than tests.
func (t *tree) packages() []string {
	seen := map[string]bool{}
	for _, f := range t.files {
		if !strings.HasSuffix(f.name, "_test.go") {
			seen[f.dir] = true
		}
	}
	var dirs []string
	for dir := range seen {
		dirs = append(dirs, dir)
	}
	sort.Strings(dirs)
	return dirs
}

func importPath(spec *ast.ImportSpec) string { return strings.Trim(spec.Path.Value, `"`) }

// local turns an import path of this module into a folder.
func local(importPath string) (dir string, ok bool) {
	if importPath == module {
		return "", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func shown(dir string) string {
	if dir == "" {
		return "the root package"
	}
	return dir
}

// imports lists the module's own packages that a package imports outside its tests.
func (t *tree) imports(dir string) []string {
	var to []string
	for _, f := range t.files {
		if f.dir != dir || strings.HasSuffix(f.name, "_test.go") {
			continue
		}
		for _, spec := range f.syntax.Imports {
			if d, ok := local(importPath(spec)); ok && !slices.Contains(to, d) {
				to = append(to, d)
			}
		}
	}
	sort.Strings(to)
	return to
}

func checkLevels(t *tree) (problems []string) {
	for _, dir := range t.packages() {
		if _, ok := levels[dir]; !ok {
			problems = append(problems, fmt.Sprintf("%s has no level: give it one in arch_test.go", dir))
		}
	}
	for _, f := range t.files {
		for _, spec := range f.syntax.Imports {
			to, ok := local(importPath(spec))
			if !ok || to == f.dir {
				continue
			}
			if testOnly[to] && !f.test {
				problems = append(problems, fmt.Sprintf("%s: %s is for tests only", t.at(spec), to))
			}
			// A test may look sideways and, for the packages made for tests, upwards.
			if levels[to] > levels[f.dir] && !(f.test && testOnly[to]) {
				problems = append(problems, fmt.Sprintf("%s: %s is level %d and may not import %s, level %d",
					t.at(spec), shown(f.dir), levels[f.dir], to, levels[to]))
			}
		}
	}
	return problems
}

func checkEdges(t *tree) (problems []string) {
	for _, dir := range t.packages() {
		for _, to := range t.imports(dir) {
			if to != "" && !slices.Contains(edges[dir], to) {
				problems = append(problems, fmt.Sprintf("%s imports %s: not an allowed edge; use an interface that app fills, an event, or argue for the edge in arch_test.go", shown(dir), to))
			}
		}
	}
	for from, list := range edges {
		for _, to := range list {
			if levels[to] > levels[from] {
				problems = append(problems, fmt.Sprintf("arch_test.go allows %s to import %s, which is above it", from, to))
			}
		}
	}
	sort.Strings(problems)
	return problems
}

func checkChain(t *tree) (problems []string) {
	var longest []string
	var walk func(chain []string, dir string)
	walk = func(chain []string, dir string) {
		if slices.Contains(chain, dir) {
			return // a cycle does not compile anyway
		}
		chain = append(chain, dir)
		if len(chain) > len(longest) {
			longest = slices.Clone(chain)
		}
		for _, to := range t.imports(dir) {
			walk(chain, to)
		}
	}
	for _, dir := range t.packages() {
		walk(nil, dir)
	}
	if n := len(longest) - 1; n > limits.chain {
		longest[len(longest)-1] = shown(longest[len(longest)-1])
		problems = append(problems, fmt.Sprintf("imports are %d deep, %d allowed: %s", n, limits.chain, strings.Join(longest, " → ")))
	}
	return problems
}

func checkPackageCount(t *tree) (problems []string) {
	if n := len(t.packages()); n > limits.packages {
		problems = append(problems, fmt.Sprintf("%d packages, %d allowed", n, limits.packages))
	}
	return problems
}

func checkPackageNames(t *tree) (problems []string) {
	seen := map[string]bool{}
	for _, f := range t.files {
		name := strings.TrimSuffix(f.syntax.Name.Name, "_test")
		last := path.Base(f.dir)
		for _, n := range []string{name, last} {
			if slices.Contains(bannedNames, n) && !seen[f.dir+n] {
				seen[f.dir+n] = true
				problems = append(problems, fmt.Sprintf("%s: the package name %q says nothing; name it for the noun it holds", f.name, n))
			}
		}
	}
	return problems
}

func checkPackageComments(t *tree) (problems []string) {
	documented := map[string]bool{}
	for _, f := range t.files {
		if !strings.HasSuffix(f.name, "_test.go") && f.syntax.Doc != nil && len(strings.TrimSpace(f.syntax.Doc.Text())) > 0 {
			documented[f.dir] = true
		}
	}
	for _, dir := range t.packages() {
		if !documented[dir] {
			problems = append(problems, fmt.Sprintf("%s has no package comment", shown(dir)))
		}
	}
	return problems
}

func checkFileLength(t *tree) (problems []string) {
	t.written(func(f source) {
		if n := bytes.Count(f.text, []byte("\n")); n > limits.fileLines {
			problems = append(problems, fmt.Sprintf("%s has %d lines, %d allowed", f.name, n, limits.fileLines))
		}
	})
	return problems
}

// checkFunctionLength leaves tests out: a table is long and still easy to read.
func checkFunctionLength(t *tree) (problems []string) {
	t.written(func(f source) {
		if f.test {
			return
		}
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && t.lines(fn) > limits.functionLines {
				problems = append(problems, fmt.Sprintf("%s: %s has %d lines, %d allowed", t.at(fn), fn.Name.Name, t.lines(fn), limits.functionLines))
			}
		}
	})
	return problems
}

// checkInterfaces counts declared methods. An embedded interface counts its methods if it
// is declared in the same package, else one; a union is a constraint and counts nothing.
func checkInterfaces(t *tree) (problems []string) {
	declared := map[string]*ast.InterfaceType{}
	t.written(func(f source) {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if it, ok := spec.Type.(*ast.InterfaceType); ok {
					declared[f.dir+"."+spec.Name.Name] = it
				}
			}
			return true
		})
	})
	t.written(func(f source) {
		if f.test {
			return
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			it, ok := n.(*ast.InterfaceType)
			if !ok {
				return true
			}
			if c := countMethods(it, f.dir, declared, 0); c > limits.interfaceMethods {
				problems = append(problems, fmt.Sprintf("%s: an interface of %d methods, %d allowed: ask for what you use", t.at(it), c, limits.interfaceMethods))
			}
			return true
		})
	})
	return problems
}

func countMethods(it *ast.InterfaceType, dir string, declared map[string]*ast.InterfaceType, depth int) int {
	n := 0
	for _, field := range it.Methods.List {
		switch x := field.Type.(type) {
		case *ast.FuncType:
			n += len(field.Names)
		case *ast.Ident:
			if in, ok := declared[dir+"."+x.Name]; ok && depth < 8 {
				n += countMethods(in, dir, declared, depth+1)
			} else {
				n++
			}
		case *ast.SelectorExpr:
			n++
		}
	}
	return n
}

func checkParameters(t *tree) (problems []string) {
	t.written(func(f source) {
		if f.test {
			return
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			ft, ok := n.(*ast.FuncType)
			if ok && ft.Params.NumFields() > limits.parameters {
				problems = append(problems, fmt.Sprintf("%s: %d parameters, %d allowed: pass a struct", t.at(ft), ft.Params.NumFields(), limits.parameters))
			}
			return true
		})
	})
	return problems
}

func checkDependencies(t *tree) (problems []string) {
	mod, err := modfile.Parse("go.mod", t.gomod, nil)
	if err != nil {
		return []string{err.Error()}
	}
	for _, r := range mod.Require {
		if !r.Indirect && dependencies[r.Mod.Path] == "" {
			problems = append(problems, fmt.Sprintf("go.mod requires %s without a reason in arch_test.go", r.Mod.Path))
		}
	}
	for _, r := range mod.Replace {
		problems = append(problems, fmt.Sprintf("go.mod replaces %s: a build elsewhere would not be this one", r.Old.Path))
	}
	return problems
}

// reach lists a program's own folder and all packages of this module it stands on.
func (t *tree) reach(program string) []string {
	if !slices.Contains(t.packages(), program) {
		return nil
	}
	dirs := []string{program}
	for i := 0; i < len(dirs); i++ {
		for _, to := range t.imports(dirs[i]) {
			if !slices.Contains(dirs, to) {
				dirs = append(dirs, to)
			}
		}
	}
	return dirs
}

// externals calls fn for each import outside this module and the standard library that
// the given packages have outside their tests.
func (t *tree) externals(dirs []string, fn func(at, importPath string)) {
	for _, f := range t.files {
		if !slices.Contains(dirs, f.dir) || strings.HasSuffix(f.name, "_test.go") {
			continue
		}
		for _, spec := range f.syntax.Imports {
			p := importPath(spec)
			first, _, _ := strings.Cut(p, "/")
			if _, own := local(p); p == "C" || !own && strings.Contains(first, ".") {
				fn(t.at(spec), p)
			}
		}
	}
}

func checkCgo(t *tree) (problems []string) {
	for _, program := range cgoFree {
		t.externals(t.reach(program), func(at, p string) {
			if p == "C" || slices.ContainsFunc(cgoModules, func(m string) bool { return strings.HasPrefix(p, m) }) {
				problems = append(problems, fmt.Sprintf("%s: %s must do without cgo and may not reach %q", at, program, p))
			}
		})
	}
	return problems
}

func checkVerifier(t *tree) (problems []string) {
	dirs := t.reach(verifier.program)
	for _, dir := range dirs {
		if dir != verifier.program && !slices.Contains(verifier.packages, dir) {
			problems = append(problems, fmt.Sprintf("%s stands on %s: an auditor would have to read that too", verifier.program, dir))
		}
	}
	t.externals(dirs, func(at, p string) {
		if !slices.ContainsFunc(verifier.external, func(m string) bool { return strings.HasPrefix(p, m) }) {
			problems = append(problems, fmt.Sprintf("%s: %s may stand on the standard library and %s only, not on %q", at, verifier.program, strings.Join(verifier.external, ", "), p))
		}
	})
	return problems
}
