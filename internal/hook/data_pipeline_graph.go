package hook

import (
	"fmt"
	"strings"

	"caos"
	"caos/internal/dataset"
)

// This file decides, purely, what a run does when some of its sources and targets are
// missing.

// pipeGraph says what each transform reads.
type pipeGraph map[string][]string

// needs are the sources and transforms from which name is made, name among them. Their names
// are in lower case; a target may write the one that it is made from otherwise.
func (g pipeGraph) needs(name string) map[string]bool {
	name = strings.ToLower(name)
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
	g := pipeGraph(s.Sel.Reads())
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
	g := pipeGraph(s.Sel.Reads())
	var out []dataset.Target
	for _, t := range w.targets {
		if isTarget && t.Name == part || !isTarget && g.needs(t.From)[part] {
			out = append(out, t)
		}
	}
	return out
}
