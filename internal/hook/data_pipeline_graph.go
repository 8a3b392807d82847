package hook

import (
	"fmt"
	"slices"
	"strings"

	"caos"
	"caos/internal/dataset"
)

// This file decides, purely, what a run does when some of its sources and targets are
// missing: what depends on what is read from the SQL.

// pipeGraph says what each transform reads.
type pipeGraph map[string][]string

// newPipeGraph finds the sources and transforms that each transform names. Words in the SQL
// that happen to be such a name count, too: too much is loaded then, never too little.
func newPipeGraph(sel *dataset.Selection) pipeGraph {
	known := map[string]string{}
	for _, x := range sel.Sources {
		known[strings.ToLower(x.Name)] = x.Name
	}
	for _, x := range sel.Transforms {
		known[strings.ToLower(x.Name)] = x.Name
	}
	g := pipeGraph{}
	for _, x := range sel.Transforms {
		words := sqlWords(x.SQL)
		for _, after := range x.After {
			words[strings.ToLower(after)] = true
		}
		var reads []string
		for low, name := range known {
			if words[low] && name != x.Name {
				reads = append(reads, name)
			}
		}
		slices.Sort(reads)
		g[x.Name] = reads
	}
	return g
}

// needs are the sources and transforms from which name is made, name among them.
func (g pipeGraph) needs(name string) map[string]bool {
	out := map[string]bool{name: true}
	for open := []string{name}; len(open) > 0; {
		next := open[len(open)-1]
		open = open[:len(open)-1]
		for _, r := range g[next] {
			if !out[r] {
				out[r] = true
				open = append(open, r)
			}
		}
	}
	return out
}

// sqlWords are the identifiers of a statement in lower case, without those in texts and
// comments.
func sqlWords(sql string) map[string]bool {
	out := map[string]bool{}
	for i := 0; i < len(sql); {
		rest := sql[i:]
		switch {
		case strings.HasPrefix(rest, "--"):
			i += lengthTo(rest, "\n", 0)
		case strings.HasPrefix(rest, "/*"):
			i += lengthTo(rest, "*/", 2)
		case rest[0] == '\'':
			i += lengthTo(rest, "'", 1)
		case rest[0] == '"':
			n := lengthTo(rest, `"`, 1)
			out[strings.ToLower(strings.Trim(rest[:n], `"`))] = true
			i += n
		case wordByte(rest[0]):
			n := 1
			for n < len(rest) && wordByte(rest[n]) {
				n++
			}
			out[strings.ToLower(rest[:n])] = true
			i += n
		default:
			i++
		}
	}
	return out
}

func wordByte(b byte) bool {
	return b == '_' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= 0x80
}

// lengthTo is the length of s up to and with the first end after skip bytes.
func lengthTo(s, end string, skip int) int {
	if len(s) <= skip {
		return len(s)
	}
	n := strings.Index(s[skip:], end)
	if n < 0 {
		return len(s)
	}
	return skip + n + len(end)
}

// pipeWork is what a run is to do as things stand.
type pipeWork struct {
	load       []dataset.Source // to be fetched and made tables
	empty      []dataset.Source // missing, and replaced by a table without rows
	transforms []dataset.Transform
	targets    []dataset.Target
	without    map[string]string // optional targets that cannot be made, with the reason
}

// work decides what can be done without the sources that are missing and the targets that
// have failed. What stops the run is returned as findings.
func (s *pipelineState) work() (*pipeWork, []caos.Finding) {
	g := newPipeGraph(&s.Sel)
	w := &pipeWork{without: map[string]string{}}
	var stop []caos.Finding
	needed := map[string]bool{}
	for _, t := range s.Sel.Targets {
		if s.target(t.Name).Failed != "" {
			continue
		}
		needs := g.needs(t.From)
		why := ""
		for _, src := range s.Sel.Sources {
			if missing := s.source(src.Name).Missing; needs[src.Name] && missing != "" && len(src.Columns) == 0 {
				why = fmt.Sprintf("target %s needs source %s, which is missing: %s", t.Name, src.Name, missing)
				break
			}
		}
		switch {
		case why == "":
			w.targets = append(w.targets, t)
			for n := range needs {
				needed[n] = true
			}
		case t.Optional:
			w.without[t.Name] = why
		default:
			stop = append(stop, caos.Finding{Rule: "source-missing", Subject: t.Name, Message: why,
				Remedy: "bring the source back, declare its columns so that an empty table can stand for it, or make the target optional"})
		}
	}
	for _, src := range s.Sel.Sources {
		switch {
		case !needed[src.Name] && !src.Reference:
		case s.source(src.Name).Missing == "":
			w.load = append(w.load, src)
		case needed[src.Name]:
			w.empty = append(w.empty, src)
		}
	}
	for _, t := range s.Sel.Transforms {
		if needed[t.Name] {
			w.transforms = append(w.transforms, t)
		}
	}
	if len(stop) == 0 && len(w.targets) == 0 {
		stop = append(stop, caos.Finding{Rule: "nothing-to-publish", Subject: s.In.PipelineID, Message: "none of the targets can be made: " + s.whyNone(w),
			Remedy: "see the issues of the targets"})
	}
	return w, stop
}

// whyNone is the first reason for which there is no target.
func (s *pipelineState) whyNone(w *pipeWork) string {
	for _, t := range s.Sel.Targets {
		if why := w.without[t.Name]; why != "" {
			return why
		}
		if why := s.target(t.Name).Failed; why != "" {
			return why
		}
	}
	return "there is none"
}

// hit are the targets that a failing part makes impossible, of those that are being made.
func (s *pipelineState) hit(w *pipeWork, part string, isTarget bool) []dataset.Target {
	g := newPipeGraph(&s.Sel)
	var out []dataset.Target
	for _, t := range w.targets {
		if isTarget && t.Name == part || !isTarget && g.needs(t.From)[part] {
			out = append(out, t)
		}
	}
	return out
}
