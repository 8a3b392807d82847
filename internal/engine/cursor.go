package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// cursor is the position of an execution in its plan, stored as JSON. Steps are named,
// never numbered, so that a plan may gain a step without losing anybody's place.
type cursor struct {
	// Frames lead from the outermost list to the step; empty means the list is done.
	Frames []frame `json:"frames"`

	// Phase is "" before the step was begun, phaseIntent when a Call's intent is
	// committed, phaseWaiting when a Wait is armed.
	Phase string `json:"phase,omitempty"`

	// Attempt counts failed attempts of this step so far.
	Attempt int `json:"attempt,omitempty"`

	// Undo is set while the compensation steps run; Undoing says why.
	Undo    bool   `json:"undo,omitempty"`
	Undoing Status `json:"undoing,omitempty"` // the status to end in: FAILED or CANCELLED

	// Rejected counts the findings that the step left when it ended the execution: a retry
	// takes them back.
	Rejected int `json:"rejected,omitempty"`

	// Wait is what an armed Wait step waits for.
	Wait *waitState `json:"wait,omitempty"`
}

const (
	phaseIntent  = "intent"
	phaseWaiting = "waiting"
)

// frame is one level of a cursor.
type frame struct {
	Step  string   `json:"step"`
	Items []string `json:"items,omitempty"` // of an Each, fixed when it was reached
	Index int      `json:"index,omitempty"` // into Items
	Round int      `json:"round,omitempty"` // of a Repeat, from 1
}

// waitState is the stored form of a WaitSpec; times in microseconds since 1970.
type waitState struct {
	Topic    string `json:"topic,omitempty"`
	Child    string `json:"child,omitempty"`
	Until    int64  `json:"until,omitempty"`
	Deadline int64  `json:"deadline,omitempty"`
	Signal   bool   `json:"signal,omitempty"`
}

// next returns the first of the moments that are waited for, zero for none.
func (w *waitState) next() time.Time {
	switch {
	case w.Until == 0 && w.Deadline == 0:
		return time.Time{}
	case w.Until == 0 || w.Deadline != 0 && w.Deadline < w.Until:
		return time.UnixMicro(w.Deadline).UTC()
	}
	return time.UnixMicro(w.Until).UTC()
}

// over reports whether the time for decisions has passed, even if nobody has looked yet.
func (w *waitState) over(now time.Time) bool {
	if w == nil {
		return false
	}
	at := w.next()
	return !at.IsZero() && !at.After(now)
}

// outlive takes away what woke the step and did not end its wait.
func (w *waitState) outlive(kind WakeKind) {
	switch kind {
	case WakeTime:
		w.Until = 0
	case WakeDeadline:
		w.Deadline = 0
	case WakeChild:
		w.Child = ""
	}
}

// list returns the steps the cursor walks over.
func (f *Flow) list(c *cursor) []node {
	if c.Undo {
		return f.undo
	}
	return f.steps
}

// find returns the node that the cursor stands on, nil when the list is done, and an
// error when the stored names do not exist in this plan.
func (f *Flow) find(c *cursor) (*node, error) {
	list := f.list(c)
	var n *node
	for _, fr := range c.Frames {
		i := slices.IndexFunc(list, func(n node) bool { return n.name == fr.Step })
		if i < 0 {
			return nil, fmt.Errorf("revision %d of %s has no step %q", f.revision, f.hook, c.path())
		}
		n, list = &list[i], list[i].inner
	}
	return n, nil
}

// path is the cursor's step with the items and rounds that lead to it.
func (c *cursor) path() string {
	var b strings.Builder
	for i, fr := range c.Frames {
		if i > 0 {
			b.WriteByte('/')
		}
		b.WriteString(fr.Step)
		if len(fr.Items) > 0 {
			b.WriteString("[" + fr.Items[fr.Index] + "]")
		}
		if fr.Round > 0 {
			fmt.Fprintf(&b, "#%d", fr.Round)
		}
	}
	return b.String()
}

// scope returns the item of the innermost Each and the round of the innermost Repeat, as
// they enter a step's key. Nested items are joined by a slash.
func (c *cursor) scope() (item string, round int) {
	var items []string
	for _, fr := range c.Frames {
		if len(fr.Items) > 0 {
			items = append(items, fr.Items[fr.Index])
		}
		if fr.Round > 0 {
			round = fr.Round
		}
	}
	return strings.Join(items, "/"), round
}

// start puts the cursor on the first step of the plan (or of its compensation).
func (f *Flow) start(c *cursor, s any) {
	c.Frames, c.Phase, c.Attempt, c.Wait = nil, "", 0, nil
	f.enter(c, f.list(c), 0, s)
}

// enter puts the cursor on list[i], going down into Each and Repeat; an Each without
// items is passed over. It reports false when the list is done.
func (f *Flow) enter(c *cursor, list []node, i int, s any) bool {
	depth := len(c.Frames)
	for ; i < len(list); i++ {
		n := &list[i]
		fr := frame{Step: n.name}
		switch n.kind {
		case kindEach:
			if fr.Items = distinct(n.items(s)); len(fr.Items) == 0 {
				continue
			}
		case kindRepeat:
			fr.Round = 1
		default:
			c.Frames = append(c.Frames, fr)
			return true
		}
		c.Frames = append(c.Frames, fr)
		if f.enter(c, n.inner, 0, s) {
			return true
		}
		c.Frames = c.Frames[:depth]
	}
	return false
}

// distinct copies items without repetitions: the item is part of the key of an effect.
func distinct(items []string) []string {
	out := make([]string, 0, len(items))
	seen := make(map[string]bool, len(items))
	for _, it := range items {
		if !seen[it] {
			seen[it] = true
			out = append(out, it)
		}
	}
	return out
}

// advance moves the cursor past the step it stands on. The cursor is empty afterwards
// when the list is done.
func (f *Flow) advance(c *cursor, s any) {
	c.Phase, c.Attempt, c.Wait = "", 0, nil
	for len(c.Frames) > 0 {
		// Siblings of the step, then the next item or round of what holds it.
		last := c.Frames[len(c.Frames)-1].Step
		c.Frames = c.Frames[:len(c.Frames)-1]
		list := f.list(c)
		if len(c.Frames) > 0 {
			parent, _ := f.find(c)
			list = parent.inner
		}
		i := slices.IndexFunc(list, func(n node) bool { return n.name == last })
		if f.enter(c, list, i+1, s) || len(c.Frames) == 0 {
			return
		}
		if f.again(c, s) {
			return
		}
	}
}

// again starts the next item or round of the Each or Repeat that the cursor stands on.
func (f *Flow) again(c *cursor, s any) bool {
	holder, _ := f.find(c)
	fr := &c.Frames[len(c.Frames)-1]
	switch holder.kind {
	case kindEach:
		for fr.Index+1 < len(fr.Items) {
			fr.Index++
			if f.enter(c, holder.inner, 0, s) {
				return true
			}
			fr = &c.Frames[len(c.Frames)-1]
		}
	case kindRepeat:
		if !holder.until(s) {
			fr.Round++
			return f.enter(c, holder.inner, 0, s)
		}
	}
	return false
}
