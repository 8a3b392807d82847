package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Bounds of what a worker says.
const (
	maxLine   = 64 << 20  // of one event
	maxSaid   = 256 << 20 // of a whole run
	maxStep   = 64 << 10  // of one progress event
	maxWords  = 4 << 10   // of standard error that is kept, from its beginning and its end each
	maxTold   = 2_000     // characters of a failure's message
	maxRedone = 100       // rejects that are kept
)

// event is one line of the worker's standard output: exactly one of its fields.
type event struct {
	Progress *Progress `json:"progress"`
	Result   *Result   `json:"result"`
	Failure  *Failure  `json:"failure"`
}

// parseEvent parses a line that an untrusted worker wrote.
func parseEvent(line []byte) (*event, error) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	dec.UseNumber()
	var e event
	if err := dec.Decode(&e); err != nil {
		return nil, fmt.Errorf("a line that is no event: %w", err)
	}
	if dec.More() {
		return nil, errors.New("a line with more than an event")
	}
	n := 0
	for _, there := range []bool{e.Progress != nil, e.Result != nil, e.Failure != nil} {
		if there {
			n++
		}
	}
	if n != 1 {
		return nil, fmt.Errorf("an event with %d parts", n)
	}
	if e.Progress != nil && len(line) > maxStep {
		return nil, fmt.Errorf("progress of %d bytes", len(line))
	}
	if e.Failure != nil {
		e.Failure.bound()
	}
	return &e, nil
}

// bound keeps a failure to a readable size, and to the kinds there are.
func (f *Failure) bound() {
	switch f.Kind {
	case KindSQL, KindInput, KindSchema, KindRefused, KindMemory, KindDisk, KindCrash:
	default:
		f.Kind = KindCrash
	}
	for _, s := range []*string{&f.Phase, &f.Name, &f.File, &f.Message, &f.LastWords} {
		*s = clean(*s, maxTold)
	}
	f.Line = max(f.Line, 0)
}

// fits says whether a result answers its job: the same names in the same order, and
// nothing else. A worker that was fooled may claim anything.
func (r *Result) fits(job *Job) error {
	if len(r.Inputs) != len(job.Inputs) || len(r.Steps) != len(job.Steps) || len(r.Outputs) != len(job.Outputs) || len(r.Queries) != len(job.Queries) {
		return errors.New("a result of another job")
	}
	for i, in := range r.Inputs {
		if in.Name != job.Inputs[i].Name || in.Rows < 0 || in.Rejected < 0 || in.Rejected > job.Inputs[i].MaxRejected || in.Bytes < 0 || len(in.Rejects) > maxRedone {
			return fmt.Errorf("a result of input %s that cannot be", job.Inputs[i].Name)
		}
	}
	for i, s := range r.Steps {
		if s.Name != job.Steps[i].Name || s.Rows < -1 {
			return fmt.Errorf("a result of step %s that cannot be", job.Steps[i].Name)
		}
	}
	for i, o := range r.Outputs {
		if o.Name != job.Outputs[i].Name || o.Rows < 0 {
			return fmt.Errorf("a result of output %s that cannot be", job.Outputs[i].Name)
		}
	}
	for _, q := range job.Queries {
		rows, ok := r.Queries[q.Name]
		most := q.MaxRows
		if most == 0 {
			most = 1000
		}
		if !ok || len(rows.Rows) > most {
			return fmt.Errorf("an answer to query %s that cannot be", q.Name)
		}
		for _, row := range rows.Rows {
			if len(row) != len(rows.Columns) {
				return fmt.Errorf("an answer to query %s whose rows have other columns", q.Name)
			}
		}
	}
	return nil
}
