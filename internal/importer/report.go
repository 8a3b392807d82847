package importer

import "slices"

// Report says what became of a file.
type Report struct {
	File    string   `json:"file"`
	Digest  string   `json:"digest"` // SHA256:…
	Kind    Kind     `json:"kind"`
	Entries int      `json:"entries"`
	Project string   `json:"project"`
	DryRun  bool     `json:"dry_run"`           // nothing of this was done
	Changed bool     `json:"changed"`           // false: everything was there already, and nothing was written
	Mapped  []Mapped `json:"mapped"`            // what the registry has a noun for
	Kept    []Kept   `json:"kept"`              // what is kept whole until there is one
	Notes   []string `json:"notes"`             // what a reader would not expect
	Pieces  int      `json:"transactions"`      // a long file takes several, each whole
	Next    int      `json:"-"`                 // Options.From of the next piece, 0 after the last
	After   string   `json:"-"`                 // its Options.After
	Ended   int      `json:"statements_ended"`  // what the file stated before and states no more
	Said    Counts   `json:"statements_stated"` // what it states

	notes notes
	gone  struct{ links, models, risks int } // statements that ended, by what was made of them
}

// Counts counts what became of things of a sort.
type Counts struct {
	Created   int `json:"created"`
	Updated   int `json:"updated"`
	Unchanged int `json:"unchanged"`
}

// Mapped counts what was made of a section.
type Mapped struct {
	Section string `json:"section"`
	As      string `json:"as"` // models, versions, industrialisation records, baseline statements, links, checklist items, risks
	Counts
}

// Kept counts entries that are kept whole.
type Kept struct {
	Section string   `json:"section"`
	As      string   `json:"as"`    // statements: every entry is one
	Under   []string `json:"under"` // the versions whose industrialisation record has them too, the first 200; none means that no model is named
	Counts
}

func (c *Counts) add(o Counts) {
	c.Created += o.Created
	c.Updated += o.Updated
	c.Unchanged += o.Unchanged
}

// add adds the next piece of the same file.
func (r *Report) add(piece *Report) {
	for _, m := range piece.Mapped {
		r.mapped(m.Section, m.As).add(m.Counts)
	}
	for _, k := range piece.Kept {
		to := r.kept(k.Section)
		to.add(k.Counts)
		to.under(k.Under...)
	}
	r.Said.add(piece.Said)
	for _, n := range piece.notes.list {
		r.note("%s", n)
	}
	r.notes.more += piece.notes.more
	r.Pieces += piece.Pieces
	r.Ended += piece.Ended
	r.Changed = r.Changed || piece.Changed
	r.Next, r.After = piece.Next, piece.After
	r.gone.links += piece.gone.links
	r.gone.models += piece.gone.models
	r.gone.risks += piece.gone.risks
}

// stay says what became of what was made of entries that the file has no more: nothing.
func (r *Report) stay() {
	if n := r.gone.links; n > 0 {
		r.note("%d links were stated before and are not now; they stay until somebody removes them: caos link remove", n)
	}
	if n := r.gone.models; n > 0 {
		r.note("%d entries of models were stated before and are not now; their models and versions stay", n)
	}
	if n := r.gone.risks; n > 0 {
		r.note("%d risks were stated before and are not now; they stay until somebody closes them: caos risk close", n)
	}
}

// mapped returns the counts of a section, made on first use.
func (r *Report) mapped(section, as string) *Counts {
	for i := range r.Mapped {
		if r.Mapped[i].Section == section && r.Mapped[i].As == as {
			return &r.Mapped[i].Counts
		}
	}
	r.Mapped = append(r.Mapped, Mapped{Section: section, As: as})
	return &r.Mapped[len(r.Mapped)-1].Counts
}

func (r *Report) kept(section string) *Kept {
	for i := range r.Kept {
		if r.Kept[i].Section == section {
			return &r.Kept[i]
		}
	}
	r.Kept = append(r.Kept, Kept{Section: section, As: "statements", Under: []string{}})
	return &r.Kept[len(r.Kept)-1]
}

// under adds versions, up to as many as anybody would read.
func (k *Kept) under(keys ...string) {
	const most = 200
	for _, key := range keys {
		if len(k.Under) < most && !slices.Contains(k.Under, key) {
			k.Under = append(k.Under, key)
		}
	}
}

// note adds a note. Of a long file not all of them fit a report.
func (r *Report) note(format string, args ...any) {
	r.notes.add(format, args...)
}
