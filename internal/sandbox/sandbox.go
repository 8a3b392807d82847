// Package sandbox runs one program on one folder and on nothing else: without network,
// without other files, without privileges, and within limits of memory, processor, disk
// and processes that the operating system holds. The program may be fooled by the data it
// reads; what it can do then is what this package leaves it.
//
// A run has two halves. The outer half (Start) is the caller. The inner half (Main) is the
// first thing that the started program does: it builds the new root, gives up every
// privilege and executes the program that was asked for.
package sandbox

import (
	"os"
	"time"
)

// Level says what holds a run.
type Level string

// The levels. Check says whether this machine can do one.
const (
	Namespaces Level = "namespaces" // the default: mount, process, network, IPC and user namespaces of its own
	Reduced    Level = "reduced"    // where namespaces are refused: system call filter, Landlock where the kernel has it, limits, own user when root
)

// Spec is what to run and what it may have.
type Spec struct {
	Program  string   // path of the program; visible inside under the same path
	Init     string   // program that is the inner half, which must call Main first; "" is the running program itself
	Args     []string // arguments after the program's name
	Env      []string // the whole environment, NAME=value
	Folder   string   // host folder whose subfolders are seen in /job, which is the working directory
	Write    []string // names of the subfolders of Folder that are writable; the others are read-only
	ReadOnly []string // host paths that are visible, read-only, under the same path

	MemoryBytes int64 // memory of the run; 0 is no limit
	Threads     int   // processors it may use at once; 0 is all
	FileBytes   int64 // size of the largest file it may write; 0 is no limit
	Processes   int   // processes and threads together; 0 is 256
	OpenFiles   int   // open files; 0 is 1,024
	Fork        bool  // whether it may start processes; threads it may start always

	UID   int // user and group of the run when the caller is root; 0 chooses one that nothing else has
	Level Level
}

// Exit is how a run ended.
type Exit struct {
	Code         int           // exit status; -1 if a signal ended it
	Signal       os.Signal     // the signal that ended it, or nil
	PeakBytes    int64         // largest resident memory
	MemoryKilled bool          // the operating system ended it at its memory limit
	CPU          time.Duration // processor time it took
}
