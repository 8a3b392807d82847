package worker

import (
	"fmt"
	"strings"
)

// The kinds of Failure.
const (
	KindSQL         = "sql"         // a statement failed: a name, a type, a value
	KindInput       = "input"       // a file cannot be read as what it should be
	KindSchema      = "schema"      // a column is missing, is of another type, or lacks a value it must have
	KindRefused     = "refused"     // a job or a statement asks for what no job may do
	KindMemory      = "memory"      // the memory limit was reached
	KindDisk        = "disk"        // the scratch limit was reached, or the disk is full
	KindTime        = "time"        // the time limit was reached
	KindCrash       = "crash"       // the worker ended without an answer, or with one that cannot be read
	KindCancelled   = "cancelled"   // the caller ended it
	KindUnavailable = "unavailable" // there is no worker, or no sandbox, on this machine
)

// Failure is why a job has no result. Nothing of what it wrote counts.
type Failure struct {
	Kind      string `json:"kind"`
	Phase     string `json:"phase,omitempty"` // start, input, step, output, query
	Name      string `json:"name,omitempty"`  // of the input, step, output or query
	File      string `json:"file,omitempty"`  // relative to the run's folder: in/…
	Line      int64  `json:"line,omitempty"`  // 1 is the first
	Message   string `json:"message"`
	LastWords string `json:"last_words,omitempty"` // end of what a crashed worker wrote to standard error
}

// Error says where and why.
func (f *Failure) Error() string {
	where := f.Phase
	if f.Name != "" {
		where = strings.TrimSpace(where + " " + f.Name)
	}
	if f.File != "" {
		if where != "" {
			where += ", "
		}
		where += f.File
		if f.Line > 0 {
			where += fmt.Sprintf(", line %d", f.Line)
		}
	}
	if where == "" {
		return f.Message
	}
	return where + ": " + f.Message
}

// Hint says what to do about a failure.
func (f *Failure) Hint() string {
	switch f.Kind {
	case KindSQL:
		return "correct the statement, or the data it meets"
	case KindInput:
		return "correct the file, or say its format, compression and dialect in the source's definition"
	case KindSchema:
		return "bring the file or the expected columns of the source in line"
	case KindRefused:
		return "a statement is one SELECT over the pipeline's own inputs and steps; files are sources, settings are the definition's"
	case KindMemory:
		return "ask for more compute memory, or make less at once: fewer columns, no sort of everything, a smaller interval"
	case KindDisk:
		return "ask for more scratch, make room on the disk of the data folder, or make a smaller interval"
	case KindTime:
		return "ask for a longer timeout, or make a smaller interval"
	case KindCrash:
		return "run it again; if it ends the same way, the last words and the input file are what a report of the defect needs"
	case KindCancelled:
		return "start it again when it is wanted"
	}
	return "docs/worker.md says how to build caos-worker and which levels of the sandbox there are"
}

// Retryable reports whether the same job may end otherwise later.
func (f *Failure) Retryable() bool {
	return f.Kind == KindCrash || f.Kind == KindUnavailable
}

// Finding gives the failure in the words of a finding: a rule ("worker-sql"), what
// happened, and what to do about it.
func (f *Failure) Finding() (rule, message, hint string) {
	return "worker-" + f.Kind, f.Error(), f.Hint()
}
