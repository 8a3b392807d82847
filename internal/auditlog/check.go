package auditlog

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"caos"
	"caos/internal/verify"
)

// row is a row of audit_records as it is stored, nothing believed: not even that a number
// is one. The fields are valid until the next row is read.
type row struct {
	seq                                                                              int64
	id, stamp, typ, actor, recordedBy, execution, project, class, leaf, record, salt sql.RawBytes
	time                                                                             int64 // of stamp, -1 if that is no number
}

// into returns what Scan fills in, in the order of recordColumns.
func (r *row) into() []any {
	return []any{&r.seq, &r.id, &r.stamp, &r.typ, &r.actor, &r.recordedBy, &r.execution, &r.project, &r.class, &r.leaf, &r.record, &r.salt}
}

// checked is what checking one row found out.
type checked struct {
	hash   tlog.Hash // RFC 6962 hash of the leaf column
	id     string    // of the record, as most of the row says; only with faults
	faults []string  // what contradicts itself, nil if nothing does
	opens  bool      // the record opens the leaf's commitment
}

// rowChecker checks rows one after another; it keeps buffers between them.
type rowChecker struct {
	cols  columns
	stamp []byte
}

// check looks for contradictions inside a row: between the leaf, the record it commits to
// and the columns. That the leaf is the one in the tree is for the caller to see.
func (k *rowChecker) check(r *row) checked {
	c := checked{hash: tlog.RecordHash(r.leaf), opens: true}
	r.time = parseMicros(r.stamp)
	scanned := scanColumns(r.record, &k.cols)
	if scanned && k.agrees(r) {
		return c
	}
	c.faults, c.opens = k.faults(r, scanned)
	c.id = k.likelyID(r)
	return c
}

// parseMicros reads a time column, -1 if it holds anything but a number of microseconds
// that CAOS would write.
func parseMicros(b []byte) int64 {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || n < 0 || n > 253402300799999999 {
		return -1
	}
	return n
}

// agrees is the quick way to see that a row is as it was written: the leaf made again
// from the columns and the record must be the one stored.
func (k *rowChecker) agrees(r *row) bool {
	if len(r.salt) != 32 {
		return false
	}
	k.stamp = time.UnixMicro(r.time).UTC().AppendFormat(k.stamp[:0], caos.TimeLayout)
	leaf := verify.LeafBytes(string(r.id), string(k.stamp), string(r.typ), verify.Commitment([32]byte(r.salt), r.record))
	return bytes.Equal(leaf, r.leaf) && len(k.columnFaults(r)) == 0
}

// columnFaults names the columns that differ from the record.
func (k *rowChecker) columnFaults(r *row) []string {
	var out []string
	differ := func(column string, stored, recorded []byte) {
		if !bytes.Equal(stored, recorded) {
			out = append(out, "column "+column+" differs from the record")
		}
	}
	differ("id", r.id, k.cols.id)
	differ("time_us", k.stampOf(r.time), k.cols.time)
	differ("type", r.typ, k.cols.typ)
	differ("actor", r.actor, k.cols.actor)
	differ("recorded_by", r.recordedBy, k.cols.recordedBy)
	differ("execution", r.execution, k.cols.execution)
	differ("project", r.project, k.cols.project)
	differ("classification", r.class, k.cols.class)
	return out
}

func (k *rowChecker) stampOf(us int64) []byte {
	k.stamp = time.UnixMicro(us).UTC().AppendFormat(k.stamp[:0], caos.TimeLayout)
	return k.stamp
}

// faults says in words what is wrong with a row, and whether the record opens the leaf's
// commitment, so that it is the columns that were changed.
func (k *rowChecker) faults(r *row, scanned bool) (out []string, opens bool) {
	if !scanned {
		out = append(out, "the record is not one that CAOS writes")
	} else {
		out = k.columnFaults(r)
	}
	leaf, err := verify.ParseLeaf(r.leaf)
	if err != nil {
		return append(out, "the leaf is malformed"), false
	}
	if leaf.ID != string(r.id) || leaf.Time != string(k.stampOf(r.time)) || leaf.Type != string(r.typ) {
		out = append(out, "the leaf differs from the columns")
	}
	if len(r.salt) != 32 {
		return append(out, "the salt has not 32 bytes"), false
	}
	opens = leaf.Commitment == verify.FormatHash(verify.Commitment([32]byte(r.salt), r.record))
	if !opens {
		out = append(out, "record and salt do not open the leaf's commitment")
	}
	if len(out) == 0 {
		out = append(out, "the leaf is not in canonical form")
	}
	return out, opens
}

// likelyID is the id that most of the row agrees on.
func (k *rowChecker) likelyID(r *row) string {
	leaf, err := verify.ParseLeaf(r.leaf)
	if err != nil {
		leaf.ID = ""
	}
	if leaf.ID != "" && (leaf.ID == string(r.id) || leaf.ID == string(k.cols.id)) {
		return leaf.ID
	}
	if len(k.cols.id) > 0 {
		return string(k.cols.id)
	}
	return string(r.id)
}

// hasher digests rows of audit_resources with a key of its own, so that nobody can choose
// rows whose sums are equal.
type hasher struct{ a, b maphash.Seed }

// sum is an order-independent digest of a set of rows.
type sum [2]uint64

func newHasher() hasher { return hasher{maphash.MakeSeed(), maphash.MakeSeed()} }

func (s *sum) add(o sum) { s[0] += o[0]; s[1] += o[1] }

func (h hasher) of(seq, at int64, resource []byte) sum {
	var buf [512]byte
	b := binary.LittleEndian.AppendUint64(buf[:0], uint64(seq))
	b = binary.LittleEndian.AppendUint64(b, uint64(at))
	b = append(b, resource...)
	return sum{maphash.Bytes(h.a, b), maphash.Bytes(h.b, b)}
}

// facts returns time, type and project of the row just checked, from the record where the
// leaf vouches for it and else from the columns.
func (k *rowChecker) facts(r *row, c checked) (at int64, typ, project string) {
	if len(c.faults) > 0 && c.opens {
		if t, err := time.Parse(caos.TimeLayout, string(k.cols.time)); err == nil {
			return t.UnixMicro(), string(k.cols.typ), string(k.cols.project)
		}
	}
	return r.time, string(r.typ), string(r.project)
}

// resources adds what audit_resources must hold for the row just checked.
func (k *rowChecker) resources(h hasher, seq, at int64) sum {
	var s sum
	for i, res := range k.cols.resources {
		if !slices.ContainsFunc(k.cols.resources[:i], func(o []byte) bool { return bytes.Equal(o, res) }) {
			s.add(h.of(seq, at, res))
		}
	}
	return s
}

// Problem is one difference between what the log is and what it must be.
type Problem struct {
	Kind       string // one of the Bad constants
	Generation int64
	Index      int64  // of the leaf; -1 if the problem is not one of a single leaf
	ID         string // of the record, "" if it is not known
	What       string // in words
}

// Kinds of problems.
const (
	BadRecord     = "record"     // a record, its leaf or a column of it was changed
	BadMissing    = "missing"    // a record is not there
	BadExtra      = "extra"      // a record or row is there that the log never had
	BadLeaves     = "leaves"     // leaves were rewritten together with their tile
	BadTile       = "tile"       // a tile was changed
	BadHead       = "head"       // the head was changed
	BadCheckpoint = "checkpoint" // a published checkpoint is contradicted, or is no checkpoint
	BadResource   = "resource"   // the index of resources was changed
	BadCount      = "count"      // the dashboard's numbers were changed
	BadAnchor     = "anchor"     // what somebody outside has of the log contradicts it, or is not what it claims to be
	BadKey        = "key"        // the KEY records do not make a trust file
	BadSuccession = "succession" // a closed log is not the one its successor tells of
)

// String writes a problem on one line.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Kind)
	if p.ID != "" {
		b.WriteString(" " + p.ID)
	}
	if p.Index >= 0 {
		fmt.Fprintf(&b, " (leaf %d", p.Index)
		if p.Generation > 1 {
			fmt.Fprintf(&b, " of generation %d", p.Generation)
		}
		b.WriteString(")")
	}
	return b.String() + ": " + p.What
}
