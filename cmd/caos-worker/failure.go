//go:build cgo

package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"caos/internal/worker"
)

// maxMessage bounds the engine's words: some hold a whole file's dialect.
const maxMessage = 1000

var (
	csvLine = regexp.MustCompile(`CSV Error on Line: (\d+)`)
	csvFile = regexp.MustCompile(`(?m)^\s*file = (.+)$`)
	csvSays = regexp.MustCompile(`(?m)^((?:Error when converting column|Expected Number of Columns|Invalid unicode|Value with unterminated quote|Maximum line size|The size of|Wrong NewLine|Unquoted|Quote|Escape|Error)[^\n]*)`)
	anyFile = regexp.MustCompile(`["']((?:[^"'\n]*/)?in/[^"'\n]+)["']`)
	// The engine counts the lines of JSON from 2; a test notices when it no longer does.
	jsonLine = regexp.MustCompile(`,? at byte \d+ in line (\d+)`)
	prefix   = regexp.MustCompile(`^[A-Z][A-Za-z ]* Error: `)
	// Where the engine points at SQL of ours, nobody is helped.
	pointer = regexp.MustCompile(`(?s)\n+LINE \d+: .*$`)
)

// failure says what went wrong in the words of the protocol.
func failure(err error, phase, name string) error {
	f := &worker.Failure{}
	if !errors.As(err, &f) {
		f = &worker.Failure{Kind: kindOfError(err, phase), Message: message(err)}
		if f.Kind != worker.KindSQL {
			f.Message = prefix.ReplaceAllString(f.Message, "") // the kind says it
		}
		place(f, err.Error())
	}
	f.Phase, f.Name = phase, name
	return f
}

func kindOfError(err error, phase string) string {
	said := err.Error()
	switch {
	case strings.Contains(said, "max_temp_directory_size"), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EFBIG),
		strings.Contains(said, "No space left on device"), strings.Contains(said, "File too large"), strings.Contains(said, "Disk quota exceeded"):
		return worker.KindDisk
	}
	var de *duckdb.Error
	if errors.As(err, &de) {
		switch de.Type {
		case duckdb.ErrorTypeOutOfMemory:
			return worker.KindMemory
		case duckdb.ErrorTypePermission:
			return worker.KindRefused
		case duckdb.ErrorTypeInternal, duckdb.ErrorTypeFatal:
			return worker.KindCrash
		}
	}
	if strings.Contains(said, "Out of Memory Error") || strings.Contains(said, "std::bad_alloc") || strings.Contains(said, "could not allocate") {
		return worker.KindMemory
	}
	// What a step meets may still be in a file: views of Parquet are read where they are used.
	if phase == worker.PhaseInput || csvLine.MatchString(said) || strings.Contains(said, "Failed to read file") || strings.Contains(said, "magic bytes") ||
		errors.As(err, &de) && de.Type == duckdb.ErrorTypeIO && anyFile.MatchString(said) {
		return worker.KindInput
	}
	return worker.KindSQL
}

// place finds the file and the line in the engine's words.
func place(f *worker.Failure, said string) {
	if f.Kind != worker.KindInput && f.Kind != worker.KindSchema {
		return
	}
	if m := csvFile.FindStringSubmatch(said); m != nil {
		f.File = relative(strings.TrimSpace(m[1]))
	} else if m := anyFile.FindStringSubmatch(said); m != nil {
		f.File = relative(m[1])
	}
	if m := csvLine.FindStringSubmatch(said); m != nil {
		f.Line, _ = strconv.ParseInt(m[1], 10, 64)
	} else if m := jsonLine.FindStringSubmatch(said); m != nil {
		f.Line, _ = strconv.ParseInt(m[1], 10, 64)
		f.Line = max(f.Line-1, 1)
		f.Message = jsonLine.ReplaceAllString(f.Message, "")
	}
}

// relative gives a file's name as CAOS knows it.
func relative(name string) string {
	if folder, err := os.Getwd(); err == nil {
		if rel, ok := strings.CutPrefix(name, folder+string(filepath.Separator)); ok {
			return rel
		}
	}
	return name
}

// message is the engine's, without what only its own users need: its advice about options
// that nobody here can set, the row itself, and the SQL that we made.
func message(err error) string {
	said := err.Error()
	if csvLine.MatchString(said) {
		if m := csvSays.FindStringSubmatch(said); m != nil {
			return sentence(m[1])
		}
	}
	if strings.Contains(said, "Error when sniffing file") {
		return "the file cannot be read as CSV of this dialect: delimiter, quotes or the number of columns do not fit, or it is not text"
	}
	said = pointer.ReplaceAllString(said, "")
	for _, cut := range []string{"\nPossible fixes:", "\nPossible Solution", "\nPossible solutions", "\n* ", "\nThis error signals", "\n\n"} {
		if before, _, found := strings.Cut(said, cut); found {
			said = before
		}
	}
	return sentence(said)
}

// sentence makes one bounded line of a text.
func sentence(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return s
}
