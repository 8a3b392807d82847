package modelfile

import (
	"bytes"
	"encoding/binary"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// sniff tells the formats that have a magic number of their own.
func sniff(head []byte, size int64) Format {
	at := func(from int, magic string) bool {
		return len(head) >= from+len(magic) && string(head[from:from+len(magic)]) == magic
	}
	switch {
	case at(0, "PK\x03\x04"), at(0, "PK\x05\x06"):
		return FormatZip
	case at(0, "\x1f\x8b"), zlibHeader(head):
		return FormatGzip
	case at(0, "\x89HDF\r\n\x1a\n"), hdf5Later(head):
		return FormatHDF5
	case at(0, "\x93NUMPY"):
		return FormatNumPy
	case at(0, "GGUF"):
		return FormatGGUF
	case at(4, "TFL3"):
		return FormatTFLite
	case at(257, "ustar"):
		return FormatTar
	case len(head) >= 9 && head[8] == '{' && safetensorsLength(head, size):
		return FormatSafetensors
	case len(head) >= 2 && head[0] == opProto && head[1] <= 16:
		return FormatPickle
	}
	return FormatUnknown
}

// zlibHeader reports whether a zlib stream begins here, as joblib writes its compressed
// files. Its two bytes check each other.
func zlibHeader(head []byte) bool {
	return len(head) > 2 && head[0] == 0x78 && binary.BigEndian.Uint16(head)%31 == 0
}

// hdf5Later finds an HDF5 signature behind a user block: at 512, 1024, 2048 …
func hdf5Later(head []byte) bool {
	for at := 512; at+8 <= len(head); at *= 2 {
		if string(head[at:at+8]) == "\x89HDF\r\n\x1a\n" {
			return true
		}
	}
	return false
}

func safetensorsLength(head []byte, size int64) bool {
	n := binary.LittleEndian.Uint64(head)
	return n >= 2 && size >= 10 && n <= uint64(size-8)
}

// foreign names what nobody should attach as a model and what cannot be looked into.
func foreign(head []byte) string {
	for _, m := range []struct{ magic, what string }{
		{"\x7fELF", "program code for Linux (ELF)"}, {"MZ", "program code for Windows (PE)"}, {"\xcf\xfa\xed\xfe", "program code for macOS (Mach-O)"},
		{"\xca\xfe\xba\xbe", "program code (Java class or Mach-O)"}, {"\x00asm", "program code (WebAssembly)"}, {"ftrt", "program code for one GPU (TensorRT)"},
		{"7z\xbc\xaf\x27\x1c", "a 7z archive"}, {"Rar!\x1a\x07", "a RAR archive"}, {"\xfd7zXZ\x00", "xz-compressed data"}, {"\x28\xb5\x2f\xfd", "zstd-compressed data"},
		{"BZh", "bzip2-compressed data"}, {"\x04\x22\x4d\x18", "lz4-compressed data"},
	} {
		if !bytes.HasPrefix(head, []byte(m.magic)) {
			continue
		}
		if m.magic == "MZ" && isText(head) || m.magic == "BZh" && isText(head) {
			continue
		}
		return m.what
	}
	return ""
}

// isText reports whether head is UTF-8 without control characters, apart from a character
// that the end of head cut.
func isText(head []byte) bool {
	for cut := 0; cut < utf8.UTFMax && len(head) > 0 && !utf8.Valid(head); cut++ {
		head = head[:len(head)-1]
	}
	if len(head) == 0 || !utf8.Valid(head) {
		return false
	}
	return !bytes.ContainsFunc(head, func(c rune) bool { return c < ' ' && !strings.ContainsRune("\n\r\t\f\x1b\b", c) })
}

// scriptName reports whether a name is that of a program's source.
func scriptName(name string) bool {
	return slices.Contains([]string{".py", ".sh", ".bat", ".ps1", ".js", ".rb", ".pl", ".lua"}, strings.ToLower(path.Ext(name)))
}
