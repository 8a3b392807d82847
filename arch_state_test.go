package caos_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"
)

func checkInit(t *tree) (problems []string) {
	t.written(func(f source) {
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				problems = append(problems, fmt.Sprintf("%s: no init(): call it where the program is wired", t.at(fn)))
			}
		}
	})
	return problems
}

// pureCalls may initialise a package variable: their results are never changed by anybody
// who holds to the type's documentation.
var pureCalls = []string{
	"errors.New", "fmt.Errorf", "regexp.MustCompile", "template.Must", "template.New", "strings.NewReplacer",
	"time.Date", "netip.MustParsePrefix", "netip.MustParseAddr", "semver.MustParse", "big.NewInt",
	"caos.Errorf", "caos.Wrap", "Errorf", "Wrap", "WithField", "WithHint", "WithRule", "Strict", "WithPadding",
}

// checkPackageState allows a package variable if it is a constant in all but syntax: it has
// its value from the declaration, nobody writes to it, and (unless it is an error, a
// regular expression or an embedded file) it is not exported, so that nobody else can.
// The version that the linker stamps into a program is the one exception.
func checkPackageState(t *tree) (problems []string) {
	for _, f := range t.files {
		if f.generated || f.test {
			continue
		}
		for _, d := range f.syntax.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, s := range gen.Specs {
				spec := s.(*ast.ValueSpec)
				embedded := hasEmbed(gen.Doc) || hasEmbed(spec.Doc)
				for i, name := range spec.Names {
					if why := t.mutable(f, spec, i, embedded); why != "" {
						problems = append(problems, fmt.Sprintf("%s: package variable %s %s", t.at(name), name.Name, why))
					}
				}
			}
		}
	}
	return problems
}

func hasEmbed(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// mutable says why variable i of a declaration may change, or "".
func (t *tree) mutable(f source, spec *ast.ValueSpec, i int, embedded bool) string {
	name := spec.Names[i].Name
	stamped := name == "version" && f.syntax.Name.Name == "main"
	if name == "_" {
		return ""
	}
	if at := t.writtenAt(f, spec, name); at != "" {
		return "is written at " + at
	}
	if embedded || stamped {
		return ""
	}
	if len(spec.Values) <= i {
		return "has no value at its declaration: somebody must write it"
	}
	value := spec.Values[i]
	if call := impure(value); call != "" {
		return "is made by " + call + ", which is not known to give a constant"
	}
	if ast.IsExported(name) && !sentinel(name, value) {
		return "is exported: other packages could write it"
	}
	return ""
}

// sentinel reports whether an exported variable is an error value or a regular expression.
func sentinel(name string, value ast.Expr) bool {
	call, ok := value.(*ast.CallExpr)
	return ok && (strings.HasPrefix(name, "Err") || calleeName(call.Fun) == "regexp.MustCompile")
}

// impure names the first call in an initialiser that is neither a conversion nor on the
// list, or the first thing that is made to be changed. Function literals are not entered:
// they run later.
func impure(value ast.Expr) (found string) {
	ast.Inspect(value, func(n ast.Node) bool {
		if found != "" {
			return false
		}
		switch x := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.CompositeLit:
			if typ := calleeName(x.Type); strings.HasPrefix(typ, "sync.") || strings.HasPrefix(typ, "atomic.") {
				found = typ
			}
		case *ast.CallExpr:
			if !slices.Contains(pureCalls, calleeName(x.Fun)) && !slices.Contains(pureCalls, lastName(x.Fun)) && !conversion(x.Fun) {
				found = calleeName(x.Fun)
			}
		}
		return found == ""
	})
	return found
}

func conversion(fun ast.Expr) bool {
	switch x := fun.(type) {
	case *ast.ArrayType, *ast.MapType, *ast.FuncType:
		return true
	case *ast.ParenExpr:
		return true
	case *ast.Ident:
		basic := []string{"string", "int", "int64", "uint64", "float64", "byte", "rune", "len"}
		return slices.Contains(basic, x.Name) || x.Obj != nil && x.Obj.Kind == ast.Typ
	}
	return false
}

func calleeName(fun ast.Expr) string {
	switch x := fun.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return calleeName(x.X) + "." + x.Sel.Name
	case *ast.IndexExpr:
		return calleeName(x.X)
	case *ast.StarExpr:
		return calleeName(x.X)
	case *ast.CallExpr:
		return calleeName(x.Fun) + "()"
	}
	return ""
}

// lastName is the method of a chained call such as errors.New("x").WithHint.
func lastName(fun ast.Expr) string {
	if sel, ok := fun.(*ast.SelectorExpr); ok {
		if _, chained := sel.X.(*ast.CallExpr); chained {
			return sel.Sel.Name
		}
		if in, ok := sel.X.(*ast.SelectorExpr); ok && strings.HasSuffix(in.Sel.Name, "Encoding") {
			return sel.Sel.Name
		}
	}
	return ""
}

// writtenAt finds an assignment to a package variable, or one of its parts, in any file
// of its package: x = …, x[k] = …, x.f++, &x, delete(x, …), clear(x), copy(x, …).
func (t *tree) writtenAt(home source, spec *ast.ValueSpec, name string) (where string) {
	is := func(e ast.Expr) bool {
		id := root(e)
		if id == nil || id.Name != name {
			return false
		}
		// In its own file the parser has resolved the name; in the others a name of the
		// package is what it could not resolve.
		return id.Obj == nil || id.Obj.Decl == spec
	}
	for _, f := range t.files {
		if f.dir != home.dir || f.syntax.Name.Name != home.syntax.Name.Name {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			var targets []ast.Expr
			switch x := n.(type) {
			case *ast.AssignStmt:
				if x.Tok != token.DEFINE {
					targets = x.Lhs
				}
			case *ast.IncDecStmt:
				targets = []ast.Expr{x.X}
			case *ast.RangeStmt:
				if x.Tok == token.ASSIGN {
					targets = []ast.Expr{x.Key, x.Value}
				}
			case *ast.UnaryExpr:
				if x.Op == token.AND {
					targets = []ast.Expr{x.X}
				}
			case *ast.CallExpr:
				if id, ok := x.Fun.(*ast.Ident); ok && len(x.Args) > 0 && slices.Contains([]string{"delete", "clear", "copy"}, id.Name) {
					targets = x.Args[:1]
				}
			}
			for _, e := range targets {
				if e != nil && where == "" && is(e) {
					where = t.at(n)
				}
			}
			return where == ""
		})
	}
	return where
}

// root is the variable that an expression such as a.b[c] starts with.
func root(e ast.Expr) *ast.Ident {
	switch x := e.(type) {
	case *ast.Ident:
		return x
	case *ast.SelectorExpr:
		return root(x.X)
	case *ast.IndexExpr:
		return root(x.X)
	case *ast.SliceExpr:
		return root(x.X)
	case *ast.StarExpr:
		return root(x.X)
	case *ast.ParenExpr:
		return root(x.X)
	}
	return nil
}

func checkContextTODO(t *tree) (problems []string) {
	return t.calls("context.TODO", func(source) bool { return true }, "pass the caller's context, or context.Background() where the work is nobody's")
}

func checkSleep(t *tree) (problems []string) {
	return t.calls("time.Sleep", func(f source) bool { return f.test }, "wait for a signal, or use testing/synctest")
}

// calls finds uses of a function of the standard library, called or passed on.
func (t *tree) calls(function string, in func(source) bool, remedy string) (problems []string) {
	t.written(func(f source) {
		if !in(f) {
			return
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && calleeName(sel) == function {
				problems = append(problems, fmt.Sprintf("%s: %s: %s", t.at(sel), function, remedy))
			}
			return true
		})
	})
	return problems
}

// The words that must not be in the repository. They are put together here so that this
// file does not contain them.
var (
	machinePath = regexp.MustCompile(`(^|[^A-Za-z0-9_.\-/])/(` + strings.Join([]string{"work", "home/[a-z]", "root", "Users", "tmp/w"}, "|") + `)/`)
	registry    = regexp.MustCompile(strings.Join([]string{`proxy\.golang\.` + `org`, `files\.python` + `hosted\.org`, `pypi\.` + `org`, `registry\.npm` + `js\.org`, `deb\.debian\.` + `org`, `127\.0\.0\.1:` + `55432`}, "|"))
	later       = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`)
)

// checkWords refuses what belongs to one machine or to nobody: absolute paths of a
// machine, hosts of package registries (a client's configuration names them, not we), and
// work left for later without the name of who will do it.
func checkWords(t *tree) (problems []string) {
	for name, text := range t.texts {
		if path.Base(name) == "go.sum" {
			continue
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			say := func(what string) { problems = append(problems, fmt.Sprintf("%s:%d: %s", name, i+1, what)) }
			if m := machinePath.Find(line); m != nil {
				say(fmt.Sprintf("%q is a path of one machine", m))
			}
			if m := registry.Find(line); m != nil {
				say(fmt.Sprintf("%q: registries are the client's configuration", m))
			}
			for _, m := range later.FindAllIndex(line, -1) {
				owned := m[1] < len(line) && line[m[1]] == '('
				if !owned && !bytes.HasSuffix(line[:m[0]], []byte("context.")) {
					say(fmt.Sprintf("%s without an owner: write it as %[1]s(name)", line[m[0]:m[1]]))
				}
			}
		}
	}
	sort.Strings(problems)
	return problems
}

var markdownLink = regexp.MustCompile(`\]\(([^)\s#]+)(#[^)\s]*)?\)`)

// checkLinks refuses links between the repository's own pages that lead nowhere.
func checkLinks(t *tree) (problems []string) {
	for name, text := range t.texts {
		if path.Ext(name) != ".md" {
			continue
		}
		for _, m := range markdownLink.FindAllSubmatch(text, -1) {
			target := string(m[1])
			if strings.Contains(target, ":") { // another site
				continue
			}
			if !t.names[path.Join(path.Dir(name), target)] {
				problems = append(problems, fmt.Sprintf("%s: the link to %s leads nowhere", name, target))
			}
		}
	}
	sort.Strings(problems)
	return problems
}
