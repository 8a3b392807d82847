package verify

import (
	"bytes"
	"fmt"
	"io"
)

const (
	block        = 512
	maxEntryName = 100
	// maxTarSize is what the eleven octal digits of a USTAR header can say.
	maxTarSize = 1<<33 - 1
)

// header makes the one USTAR header that an entry can have: mode 0644, owner 0, time 0, no
// names, so that the same contents always make the same file. Writer and reader share it:
// the reader makes each header again and compares, and never has to understand one.
func header(name string, size int64) (h [block]byte) {
	copy(h[0:100], name)
	copy(h[100:108], "0000644\x00")
	copy(h[108:116], "0000000\x00")
	copy(h[116:124], "0000000\x00")
	copy(h[124:136], fmt.Sprintf("%011o\x00", size))
	copy(h[136:148], "00000000000\x00")
	copy(h[148:156], "        ")
	h[156] = '0'
	copy(h[257:265], "ustar\x0000")
	copy(h[329:337], "0000000\x00")
	copy(h[337:345], "0000000\x00")
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", checksum(&h)))
	return h
}

// checksum sums a header whose checksum field is blank.
func checksum(h *[block]byte) (sum int) {
	for _, b := range h {
		sum += int(b)
	}
	return sum
}

// padding is how many zero bytes follow contents of a size.
func padding(size int64) int64 { return (block - size%block) % block }

// span is how many bytes an entry takes in the file.
func span(size int64) int64 { return block + size + padding(size) }

// trailer is the length of the zero blocks that end a file.
const trailer = 2 * block

// found is an entry as the file itself shows it.
type found struct {
	name   string
	offset int64 // of its header
	size   int64
}

// readHeader reads an entry's name and size from a header of the exact form that header
// makes; anything else is not one of ours.
func readHeader(h *[block]byte) (name string, size int64, ok bool) {
	end := bytes.IndexByte(h[:maxEntryName], 0)
	if end < 0 {
		end = maxEntryName
	}
	name = string(h[:end])
	for _, c := range h[124:135] {
		if c < '0' || c > '7' {
			return "", 0, false
		}
		size = size<<3 | int64(c-'0')
	}
	return name, size, header(name, size) == *h
}

// walk lists the entries that a damaged file shows, to tell what is missing, added,
// repeated or out of place. Where a header is unreadable it goes on with the next place at
// which the manifest expects one.
func walk(r io.ReaderAt, size int64, expected []found) (entries []found, damaged []string) {
	at := make(map[int64]int, len(expected))
	for i, e := range expected {
		at[e.offset] = i
	}
	var h [block]byte
	for pos := int64(0); pos+block <= size && len(entries) <= maxEntries+2; {
		if _, err := r.ReadAt(h[:], pos); err != nil && err != io.EOF {
			return entries, damaged
		}
		name, n, ok := readHeader(&h)
		if ok && pos+span(n) <= size {
			entries = append(entries, found{name, pos, n})
			pos += span(n)
			continue
		}
		i, known := at[pos]
		if !known {
			return entries, damaged // the trailer, or nothing that can be understood
		}
		damaged = append(damaged, expected[i].name)
		entries = append(entries, expected[i])
		pos += span(expected[i].size)
	}
	return entries, damaged
}

// compareOrder says how the entries of a file differ from those expected.
func compareOrder(expected, actual []found) (problems []Failure) {
	want, have := map[string]int{}, map[string]int{}
	for _, e := range expected {
		want[e.name]++
	}
	for _, e := range actual {
		have[e.name]++
	}
	for _, e := range expected {
		if have[e.name] == 0 {
			problems = append(problems, Failure{e.name, "is missing from the file"})
		}
	}
	var common []string
	once := map[string]bool{}
	for _, e := range actual {
		switch {
		case want[e.name] == 0:
			problems = append(problems, Failure{shown(e.name), "was added: the manifest does not know it"})
		case once[e.name]:
			problems = append(problems, Failure{e.name, "stands in the file more than once"})
		default:
			common = append(common, e.name)
		}
		once[e.name] = true
	}
	i := 0
	for _, e := range expected {
		if have[e.name] == 0 {
			continue
		}
		if common[i] != e.name {
			problems = append(problems, Failure{common[i], "is out of order: " + e.name + " belongs there"})
		}
		i++
	}
	return problems
}

// shown makes a name from a hostile file fit to print.
func shown(name string) string {
	if KindOf(name) != "" || name == ManifestName || name == SignatureName {
		return name
	}
	return quote(name)
}
