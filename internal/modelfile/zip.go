package modelfile

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// This file reads zip archives from their central directory, with bounds that the standard
// library's reader does not have, and compares it with what stands before each member:
// tools that trust the one or the other must not see different files.
// Source: APPNOTE.TXT 6.3.10.

// zipEnd is the end-of-central-directory record.
type zipEnd struct {
	entries, size, offset uint64
	at                    int64 // where the directory ends
}

// zipMember is an entry of the central directory.
type zipMember struct {
	name                 string
	flags, method        uint16
	compressed, inflated uint64
	header               uint64 // offset of the local header
	mode                 uint32 // Unix mode where the entry states one
	data                 int64  // where the bytes begin
}

// The bounds of a zip archive, in bytes and as a ratio.
const (
	bombBytes  = 1 << 30 // inflated size above which the ratio is judged
	bombRatio  = 100
	entryRatio = 200
	entryBytes = 16 << 20
	maxLooked  = 20_000 // members whose content is looked at

	maxDirectory = 32 << 20 // bytes of the central directory
)

// findEnd finds the end record of a zip archive. Nil without an error means that there is
// none.
func findEnd(f file) (*zipEnd, error) {
	n := min(f.size, 22+65535)
	tail := make([]byte, n)
	if m, err := f.r.ReadAt(tail, f.size-n); m < len(tail) {
		return nil, err
	}
	for i := len(tail) - 22; i >= 0; i-- {
		if string(tail[i:i+4]) != "PK\x05\x06" || i+22+int(binary.LittleEndian.Uint16(tail[i+20:])) > len(tail) {
			continue
		}
		e := &zipEnd{
			entries: uint64(binary.LittleEndian.Uint16(tail[i+10:])), size: uint64(binary.LittleEndian.Uint32(tail[i+12:])),
			offset: uint64(binary.LittleEndian.Uint32(tail[i+16:])), at: f.size - n + int64(i),
		}
		e.wide(f)
		if e.size <= uint64(e.at) {
			return e, nil
		}
	}
	return nil, nil
}

// wide reads the 64-bit end record, if there is one before the end record.
func (e *zipEnd) wide(f file) {
	var b [56]byte
	if e.at < 20 {
		return
	}
	if n, _ := f.r.ReadAt(b[:20], e.at-20); n < 20 || string(b[:4]) != "PK\x06\x07" {
		return
	}
	at := binary.LittleEndian.Uint64(b[8:])
	if at > uint64(f.size) {
		return
	}
	if n, _ := f.r.ReadAt(b[:], int64(at)); n < 56 || string(b[:4]) != "PK\x06\x06" {
		return
	}
	e.entries, e.size, e.offset = binary.LittleEndian.Uint64(b[32:]), binary.LittleEndian.Uint64(b[40:]), binary.LittleEndian.Uint64(b[48:])
	e.at = int64(at)
}

// zip looks at a zip archive and what is in it.
func (in *inspector) zip(f file, r *Report) {
	r.Format = FormatZip
	broken := func(why string) {
		r.add(Finding{Rule: "zip-broken", Severity: High, Message: "the zip archive cannot be read: " + why, Remedy: "make the archive again; an upload that was cut off looks like this"})
	}
	end, _ := findEnd(f)
	if end == nil {
		broken("its end is missing")
		return
	}
	if f.depth >= maxNesting {
		tooDeep(r)
		return
	}
	members, why := in.directory(f, end, r)
	if why != "" {
		broken(why)
		return
	}
	in.judgeZip(f, members, r)
	in.members(f, members, r)
}

func tooDeep(r *Report) {
	r.add(Finding{Rule: "nested", Severity: High, Message: "archives lie within archives deeper than is looked into", Remedy: "attach the files themselves"})
}

// directory reads the central directory.
func (in *inspector) directory(f file, end *zipEnd, r *Report) (members []zipMember, why string) {
	start := end.at - int64(end.size)
	base := start - int64(min(end.offset, 1<<62)) // bytes that somebody put before the archive
	if base < 0 {
		return nil, "its directory lies outside it"
	}
	if end.size > maxDirectory {
		return nil, "its directory is larger than is read"
	}
	if head := f.prefix(4); base > 0 || string(head) != "PK\x03\x04" && string(head) != "PK\x05\x06" {
		r.add(Finding{Rule: "polyglot", Severity: High, Message: "something stands before the zip archive: readers disagree about what this file is", Remedy: "make the archive again with nothing before it"})
	}
	w := newWindow(f.r, f.size)
	for at := start; at < end.at; {
		if len(members) >= maxMembers {
			r.add(Finding{Rule: "zip-members", Severity: High, Message: fmt.Sprintf("the archive has more than %d members", maxMembers), Remedy: "attach what matters as files of their own"})
			return members, ""
		}
		b := w.peek(at, 46)
		if len(b) < 46 || string(b[:4]) != "PK\x01\x02" {
			return nil, "its directory is damaged"
		}
		le := binary.LittleEndian
		m := zipMember{flags: le.Uint16(b[8:]), method: le.Uint16(b[10:]), compressed: uint64(le.Uint32(b[20:])), inflated: uint64(le.Uint32(b[24:])), header: uint64(le.Uint32(b[42:]))}
		if b[5] == 3 || b[5] == 19 { // made on Unix or macOS
			m.mode = le.Uint32(b[38:]) >> 16
		}
		names, extra, comment := int(le.Uint16(b[28:])), int(le.Uint16(b[30:])), int(le.Uint16(b[32:]))
		if names > maxNameBytes {
			return nil, "a name in it is too long"
		}
		m.name = string(w.peek(at+46, names))
		m.wide(w.peek(at+46+int64(names), min(extra, 4096)))
		at += int64(46 + names + extra + comment)
		if m.header > uint64(start) {
			return nil, "a member lies outside it"
		}
		m.header += uint64(base)
		members = append(members, m)
	}
	if uint64(len(members)) != end.entries && end.entries < 0xffff {
		r.add(Finding{Rule: "zip-disagrees", Severity: High, Message: fmt.Sprintf("the archive says that it has %d members and lists %d", end.entries, len(members)), Remedy: "make the archive again"})
	}
	return members, ""
}

// wide takes sizes that do not fit 32 bits from the extra field.
func (m *zipMember) wide(extra []byte) {
	for len(extra) >= 4 {
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		extra = extra[4:]
		if n > len(extra) {
			return
		}
		part := extra[:n]
		extra = extra[n:]
		if id != 1 {
			continue
		}
		for _, v := range []*uint64{&m.inflated, &m.compressed, &m.header} {
			if *v == 0xffffffff && len(part) >= 8 {
				*v, part = binary.LittleEndian.Uint64(part), part[8:]
			}
		}
		return
	}
}

// local compares what stands before a member with the directory, and finds its bytes.
func (m *zipMember) local(w *window) (problem string) {
	b := w.peek(int64(m.header), 30)
	if len(b) < 30 || string(b[:4]) != "PK\x03\x04" {
		return "has no header where the directory says"
	}
	le := binary.LittleEndian
	flags, method, names, extra := le.Uint16(b[6:]), le.Uint16(b[8:]), int(le.Uint16(b[26:])), int(le.Uint16(b[28:]))
	m.data = int64(m.header) + 30 + int64(names) + int64(extra)
	if m.data > w.size || m.compressed > uint64(w.size-m.data) {
		return "ends outside the archive"
	}
	switch name := string(w.peek(int64(m.header)+30, min(names, maxNameBytes+1))); {
	case name != m.name:
		return fmt.Sprintf("is called %q where it lies", clip(name, 100))
	case method != m.method:
		return "is compressed in another way than the directory says"
	case flags&1 != m.flags&1:
		return "is encrypted by one account and not by the other"
	}
	return ""
}

// judgeZip finds what an archive should not have, without inflating anything.
func (in *inspector) judgeZip(f file, members []zipMember, r *Report) {
	var total, packed uint64
	seen := map[string]bool{}
	w := newWindow(f.r, f.size)
	for i := range members {
		m := &members[i]
		total, packed = sum(total, m.inflated), sum(packed, m.compressed)
		add := func(rule string, s Severity, format string, args ...any) {
			r.add(Finding{Rule: rule, Severity: s, Message: fmt.Sprintf("the member %q ", clip(m.name, 200)) + fmt.Sprintf(format, args...), Remedy: "make the archive again from the model's own files"})
		}
		if problem := m.local(w); problem != "" {
			add("zip-disagrees", High, "%s", problem)
		}
		if outside(m.name) {
			add("zip-traversal", High, "would be unpacked outside the folder that somebody unpacks it to")
		}
		if m.mode&0o170000 == 0o120000 {
			add("zip-symlink", High, "is a symbolic link")
		} else if kind := m.mode & 0o170000; kind != 0 && kind != 0o100000 && kind != 0o040000 {
			add("zip-special", High, "is neither a file nor a folder")
		}
		if seen[m.name] {
			add("zip-duplicate", High, "is there twice: readers disagree about which counts")
		}
		seen[m.name] = true
		if m.flags&1 != 0 {
			add("zip-encrypted", High, "is encrypted and cannot be looked into")
		}
		if m.inflated > entryBytes && m.inflated/entryRatio > m.compressed {
			add("zip-bomb", High, "says that %d bytes become %d", m.compressed, m.inflated)
		}
	}
	if total > bombBytes && total/bombRatio > packed {
		r.add(Finding{Rule: "zip-bomb", Severity: Critical, Message: fmt.Sprintf("%d bytes say that they become %d: this is a zip bomb", packed, total), Remedy: remedyAttack})
	}
	if name := overlap(members); name != "" {
		r.add(Finding{Rule: "zip-overlap", Severity: Critical, Message: fmt.Sprintf("the member %q shares its bytes with another: this is a zip bomb", clip(name, 200)), Remedy: remedyAttack})
	}
	r.fact("members", float64(len(members)))
	r.fact("inflated_bytes", float64(total))
	var names []any
	for _, m := range members[:min(len(members), 50)] {
		names = append(names, clip(m.name, 200))
	}
	r.fact("names", names)
}

func sum(a, b uint64) uint64 {
	if a+b < a {
		return 1<<64 - 1
	}
	return a + b
}

// overlap names a member whose bytes lie within those of another.
func overlap(members []zipMember) string {
	sorted := slices.Clone(members)
	slices.SortFunc(sorted, func(a, b zipMember) int {
		switch {
		case a.header < b.header:
			return -1
		case a.header > b.header:
			return 1
		}
		return 0
	})
	for i := 1; i < len(sorted); i++ {
		before := sorted[i-1]
		if before.data > 0 && sum(uint64(before.data), before.compressed) > sorted[i].header || before.header == sorted[i].header {
			return sorted[i].name
		}
	}
	return ""
}

// members looks into the members and tells from them what kind of archive this is.
func (in *inspector) members(f file, members []zipMember, r *Report) {
	has := map[string]bool{}
	kinds := map[string]any{}
	var torch, script bool
	for i, m := range members {
		has[m.name] = true
		torch = torch || path.Base(m.name) == "data.pkl" && strings.Count(m.name, "/") <= 1
		script = script || strings.Contains(m.name, "/code/") && strings.HasSuffix(m.name, ".py")
		if strings.HasSuffix(m.name, "/") || m.flags&1 != 0 || m.data == 0 {
			continue
		}
		if i == maxLooked {
			r.add(Finding{Rule: "zip-members", Severity: High, Message: fmt.Sprintf("only the first %d members were looked into", maxLooked), Remedy: "attach what matters as files of their own"})
		}
		if i >= maxLooked {
			continue
		}
		inner := in.member(f, m)
		n, _ := kinds[string(inner.Format)].(float64)
		kinds[string(inner.Format)] = n + 1
		for _, found := range inner.Findings {
			if found.Rule == "empty" {
				continue
			}
			found.Message = fmt.Sprintf("%s: %s", clip(m.name, 200), found.Message)
			r.add(found)
		}
		r.Code = r.Code || inner.Code
		if inner.Format == FormatPickle {
			r.fact("imports", append(listOf(r.Summary["imports"]), listOf(inner.Summary["imports"])...))
		}
	}
	r.fact("contents", kinds)
	switch {
	case torch:
		r.Format, r.Code = FormatPyTorch, true
		if script {
			r.fact("torchscript", true)
		}
	case has["config.json"] && (has["model.weights.h5"] || has["metadata.json"]):
		r.Format = FormatKeras
		in.kerasZip(f, members, r)
	}
}

func listOf(v any) []any {
	l, _ := v.([]any)
	return l
}

// member looks at one member. A stored one lies in the archive as it is; a compressed one
// is inflated as far as is needed to tell what it is.
func (in *inspector) member(f file, m zipMember) *Report {
	inner := file{name: m.name, depth: f.depth + 1}
	raw := f.section(m.data, int64(m.compressed))
	switch m.method {
	case 0:
		inner.r, inner.size = raw, int64(m.compressed)
		return in.look(inner)
	case 8:
		return in.inflated(inner, func() io.Reader { return flate.NewReader(io.NewSectionReader(raw, 0, raw.Size())) })
	}
	r := &Report{Format: FormatUnknown}
	r.add(Finding{Rule: "zip-method", Severity: High, Message: fmt.Sprintf("it is compressed with method %d and cannot be looked into", m.method), Remedy: "make the archive again, stored or deflated"})
	return r
}

// inflated looks at a compressed file: whole if it is small, else by what its beginning
// says. open begins to inflate it from its start.
func (in *inspector) inflated(f file, open func() io.Reader) *Report {
	head, more := in.take(open(), maxWhole)
	if !more {
		f.r, f.size = bytes.NewReader(head), int64(len(head))
		return in.look(f)
	}
	r := &Report{Format: FormatUnknown}
	if in.room <= 0 {
		r.add(Finding{Rule: "inflated", Severity: High, Message: fmt.Sprintf("the file inflates to more than the %d bytes that are looked at", maxInflated), Remedy: "store it uncompressed, or attach its parts as files of their own"})
		return r
	}
	switch kind := sniff(head, 1<<62); kind {
	case FormatPickle:
		streamPickle(&metered{open(), &in.room}, r)
	case FormatSafetensors, FormatGGUF:
		r.Format = kind
	case FormatNumPy:
		f.r, f.size = bytes.NewReader(head), int64(len(head))
		if inner := in.look(f); inner.Code {
			return inner
		}
		r.Format = kind
	case FormatUnknown:
		if in.partial(head) {
			return r
		}
		fallthrough
	default:
		r.Format = kind
		r.add(Finding{Rule: "too-large-inside", Severity: High, Message: "it is compressed and too large to be looked into whole", Remedy: "store it uncompressed, or attach it as a file of its own"})
	}
	return r
}

// metered counts what is inflated against the room of the report; a pickle that is cut by
// its end is one that breaks off, which is a finding.
type metered struct {
	r    io.Reader
	room *int64
}

func (m *metered) Read(p []byte) (int, error) {
	if *m.room <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := m.r.Read(p[:min(int64(len(p)), *m.room)])
	*m.room -= int64(n)
	return n, err
}

// partial reports whether a large compressed member of no known format may be left alone:
// raw numbers and text run nothing.
func (in *inspector) partial(head []byte) bool {
	s := scanPickle(bytes.NewReader(head))
	return !s.attack() && (isText(head) || s.ops < 1000)
}

// take inflates up to n bytes, and says whether there are more. What is inflated counts
// against the room of the whole report.
func (in *inspector) take(src io.Reader, n int64) (b []byte, more bool) {
	n = min(n, max(in.room, 0))
	b, _ = io.ReadAll(io.LimitReader(src, n+1)) // what is damaged ends early and is judged by what is there
	in.room -= int64(len(b))
	if int64(len(b)) > n {
		return b[:n], true
	}
	return b, false
}
