package modelfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"strconv"
	"strings"
)

// A pickle is a program for a small stack machine whose only way out is to import names and
// call them. The scanner below follows that machine far enough to know which names those
// are: strings on the stack and in the memo, nothing else. It executes nothing.
// Source of the operations: pickletools of Python 3.13, protocols 0 to 5.

const opProto = 0x80

// The bounds of a scan.
const (
	maxOps     = 200_000_000 // operations of a file
	maxStack   = 1_000_000   // entries of the stack
	maxNames   = 200_000     // strings remembered in the memo; those of imports come early
	maxStrings = 16 << 20    // their bytes
	maxMemo    = 1 << 27     // places of the memo
	maxImports = 10_000      // different names
	maxPickles = 10_000      // one after another in a file
	maxLine    = 1 << 20     // bytes of a line argument
)

// pickleScan is what a scan found.
type pickleScan struct {
	protocol   int
	ops        int64
	pickles    int                 // that ended with STOP
	imports    map[string]Severity // "module.name"
	computed   bool                // a name was imported that only running it would tell
	extensions bool                // copyreg's registry was asked for code by number
	persistent bool                // objects are kept outside the pickle, as torch keeps tensors
	torchOld   bool                // the format of torch before 1.6: several pickles, then tensors
	sound      bool                // the stack never ran empty
	stopped    string              // why the scan ended early, "" when it came to the end
	limit      bool                // it ended at a bound
	rest       int64               // bytes read in all
}

// value is an entry of the stack: a known string, a mark, or anything else.
type value struct {
	kind byte // 's', 'm' or 0
	s    string
}

// pickler reads one file of pickles.
type pickler struct {
	*pickleScan
	r       *bufio.Reader
	under   io.Reader
	stack   []value
	memo    map[uint64]string // the strings in it
	held    int               // bytes in memo
	taken   []uint64          // a bit for each place of the memo that holds anything
	entries uint64            // how many do: MEMOIZE takes that as its place
}

// errOpcode ends a scan where Python's own reader would end.
var errOpcode = errors.New("no operation of a pickle")

// scanPickle reads pickles one after another until the end, or until Python could not
// read on either. What was imported before a broken place would have run: it counts.
func scanPickle(r io.Reader) *pickleScan { return scanSized(r, sniffBytes) }

// scanSized reads through a buffer no larger than the file: archives have many small ones.
func scanSized(r io.Reader, size int64) *pickleScan {
	p := &pickler{pickleScan: &pickleScan{imports: map[string]Severity{}, sound: true}, r: bufio.NewReaderSize(r, int(max(64, min(size, sniffBytes)))), under: r}
	for p.pickles < maxPickles {
		if _, err := p.r.Peek(1); err != nil {
			return p.pickleScan
		}
		p.stack, p.memo, p.held, p.taken, p.entries = p.stack[:0], map[uint64]string{}, 0, p.taken[:0], 0
		if err := p.one(); err != nil {
			p.stopped = err.Error()
			return p.pickleScan
		}
		if p.pickles++; p.torchOld && p.pickles == 5 {
			return p.pickleScan // tensors follow
		}
	}
	p.limit = true
	return p.pickleScan
}

// one reads a pickle up to its STOP.
func (p *pickler) one() error {
	for {
		op, err := p.r.ReadByte()
		if err != nil {
			return io.ErrUnexpectedEOF
		}
		p.rest++
		if p.ops++; p.ops > maxOps || len(p.stack) > maxStack || p.limit {
			p.limit = true
			return errors.New("it has more operations than are followed here")
		}
		if op == '.' {
			p.sound = p.sound && len(p.stack) == 1
			return nil
		}
		if err := p.step(op); err != nil {
			return err
		}
	}
}

// step follows one operation.
func (p *pickler) step(op byte) error {
	switch op {
	case '(':
		p.push(value{kind: 'm'})
	case '0':
		p.pop(1)
	case '1':
		p.popMark()
	case '2':
		top := value{}
		if n := len(p.stack); n > 0 {
			top = p.stack[n-1]
		}
		p.push(top)
	case 'N', 0x88, 0x89, ']', '}', ')', 0x8f, 0x97:
		p.push(value{})
	case 0x98, 'Q', 0x85:
		p.persistent = p.persistent || op == 'Q'
		p.replace(1)
	case 'R', 0x81, 0x86:
		p.replace(2)
	case 0x92, 0x87:
		p.replace(3)
	case 'b', 'a':
		p.pop(1)
	case 's':
		p.pop(2)
	case 'e', 'u', 0x90:
		p.popMark()
	case 't', 'l', 'd', 0x91, 'o':
		p.popMark()
		p.push(value{})
	case 0x93:
		p.stackGlobal()
	case 0x94:
		p.remember(p.entries)
	default:
		return p.argument(op)
	}
	return nil
}

// argument follows an operation that has bytes behind it.
func (p *pickler) argument(op byte) error {
	switch op {
	case 'F', 'I', 'L', 'P':
		_, _, err := p.line()
		p.persistent = p.persistent || op == 'P'
		p.push(value{})
		return err
	case 'S', 'V':
		s, known, err := p.line()
		p.pushText(unquote(op, s), known && !strings.Contains(s, `\`))
		return err
	case 'p', 'g':
		s, _, err := p.line()
		if err != nil {
			return err
		}
		return p.memoLine(op, s)
	case 'c', 'i':
		return p.global(op)
	case 'K', 'M', 'J', 'G', 'h', 'j', 'q', 'r', opProto, 0x82, 0x83, 0x84, 0x95:
		return p.number(op)
	case 'U', 'T', 'X', 0x8c, 0x8d, 'B', 'C', 0x8e, 0x96, 0x8a, 0x8b:
		return p.counted(op)
	}
	return errOpcode
}

// number follows an operation with an argument of fixed length.
func (p *pickler) number(op byte) error {
	n, err := p.uint(wide(op))
	if err != nil {
		return err
	}
	switch op {
	case 'h', 'j':
		p.recall(n)
	case 'q', 'r':
		p.remember(n)
	case opProto:
		p.protocol = max(p.protocol, int(n))
	case 0x82, 0x83, 0x84:
		p.extensions = true
		p.push(value{})
	case 0x95: // a frame is a hint how much to read ahead
	default:
		p.push(value{})
	}
	return nil
}

// wide is how many bytes the number behind an operation has.
func wide(op byte) int {
	switch op {
	case 'K', 'h', 'q', opProto, 0x82, 'U', 'C', 0x8c, 0x8a:
		return 1
	case 'M', 0x83:
		return 2
	case 'J', 'j', 'r', 0x84, 'T', 'X', 'B', 0x8b:
		return 4
	}
	return 8 // G, BINUNICODE8, BINBYTES8, BYTEARRAY8, FRAME
}

// counted follows an operation whose argument is a length and so many bytes.
func (p *pickler) counted(op byte) error {
	n, err := p.uint(wide(op))
	if err != nil {
		return err
	}
	text := op == 'U' || op == 'T' || op == 'X' || op == 0x8c || op == 0x8d
	if op == 0x8a && n == 10 { // torch's old magic number is a LONG1 of ten bytes
		b, err := p.r.Peek(10)
		if err == nil && p.pickles == 0 && string(b) == "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19" {
			p.torchOld = true
		}
	}
	if !text || n > maxNameBytes {
		p.pushText("", false)
		return p.skip(n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(p.r, b); err != nil {
		return io.ErrUnexpectedEOF
	}
	p.rest += int64(n)
	p.pushText(string(b), true)
	return nil
}

// global follows GLOBAL and INST, which name module and attribute in two lines.
func (p *pickler) global(op byte) error {
	module, known1, err := p.line()
	if err != nil {
		return err
	}
	name, known2, err := p.line()
	if err != nil {
		return err
	}
	if !known1 || !known2 || len(module) > maxNameBytes || len(name) > maxNameBytes {
		p.computed = true
	} else {
		p.imported(module, name)
	}
	if op == 'i' {
		p.popMark()
	}
	p.push(value{})
	return nil
}

// stackGlobal imports what two strings on the stack name.
func (p *pickler) stackGlobal() {
	n := len(p.stack)
	if n >= 2 && p.stack[n-1].kind == 's' && p.stack[n-2].kind == 's' {
		p.imported(p.stack[n-2].s, p.stack[n-1].s)
	} else {
		p.computed = true
	}
	p.replace(2)
}

func (p *pickler) imported(module, name string) {
	full := module + "." + name
	if _, known := p.imports[full]; known {
		return
	}
	if len(p.imports) >= maxImports {
		p.computed = true
		return
	}
	p.imports[full] = judgeImport(module, name)
}

func (p *pickler) push(v value) { p.stack = append(p.stack, v) }

func (p *pickler) pushText(s string, known bool) {
	if !known {
		p.push(value{})
		return
	}
	p.push(value{kind: 's', s: s})
}

// pop takes n entries; a stack that holds fewer is a broken pickle, or one that knows a
// reader better than we do: the scan goes on either way.
func (p *pickler) pop(n int) {
	if n > len(p.stack) {
		p.sound = false
		n = len(p.stack)
	}
	p.stack = p.stack[:len(p.stack)-n]
}

func (p *pickler) replace(n int) {
	p.pop(n)
	p.push(value{})
}

func (p *pickler) popMark() {
	for i := len(p.stack) - 1; i >= 0; i-- {
		if p.stack[i].kind == 'm' {
			p.stack = p.stack[:i]
			return
		}
	}
	p.sound = false
	p.stack = p.stack[:0]
}

// remember stores the top of the stack in the memo. Only strings are kept, but every
// place is counted: the place that MEMOIZE takes depends on all of them, and a pickle that
// made us count differently could show us one name and import another.
func (p *pickler) remember(at uint64) {
	n := len(p.stack)
	if n == 0 {
		p.sound = false
		return
	}
	if at >= maxMemo {
		p.limit = true
		return
	}
	word, bit := at/64, uint64(1)<<(at%64)
	if have := uint64(len(p.taken)); word >= have {
		p.taken = append(p.taken, make([]uint64, word-have+1)...)
	}
	if p.taken[word]&bit == 0 {
		p.taken[word] |= bit
		p.entries++
	}
	old, had := p.memo[at]
	if v := p.stack[n-1]; v.kind == 's' && (had || len(p.memo) < maxNames) && p.held+len(v.s) < maxStrings {
		p.held += len(v.s) - len(old)
		p.memo[at] = v.s
	} else if had {
		p.held -= len(old)
		delete(p.memo, at)
	}
}

func (p *pickler) recall(at uint64) {
	s, known := p.memo[at]
	p.pushText(s, known)
}

// memoLine follows PUT and GET, whose index is decimal text. Python reads more spellings
// of a number than a pickle ever has; one of those hides something.
func (p *pickler) memoLine(op byte, s string) error {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || len(s) > 1 && s[0] == '0' {
		p.computed = true
		return nil
	}
	if op == 'p' {
		p.remember(n)
	} else {
		p.recall(n)
	}
	return nil
}

// line reads up to a newline. known is false when the line is longer than is kept.
func (p *pickler) line() (s string, known bool, err error) {
	var b []byte
	known = true
	for {
		part, err := p.r.ReadSlice('\n')
		p.rest += int64(len(part))
		if known = known && len(b)+len(part) <= maxLine; known {
			b = append(b, part...)
		}
		if err == nil {
			return strings.TrimSuffix(string(b), "\n"), known, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", false, io.ErrUnexpectedEOF
		}
	}
}

func (p *pickler) uint(n int) (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(p.r, b[:n]); err != nil {
		return 0, io.ErrUnexpectedEOF
	}
	p.rest += int64(n)
	return binary.LittleEndian.Uint64(b[:]), nil
}

// skip passes over n bytes, by seeking where the file can.
func (p *pickler) skip(n uint64) error {
	if n > 1<<62 {
		return io.ErrUnexpectedEOF
	}
	p.rest += int64(n)
	have := min(n, uint64(p.r.Buffered()))
	if _, err := p.r.Discard(int(have)); err != nil {
		return io.ErrUnexpectedEOF
	}
	n -= have
	if s, ok := p.under.(io.Seeker); ok && n > 64<<10 {
		if _, err := s.Seek(int64(n)-1, io.SeekCurrent); err != nil {
			return io.ErrUnexpectedEOF
		}
		p.r.Reset(p.under)
		n = 1 // reading the last byte tells whether the file has it
	}
	if m, err := io.CopyN(io.Discard, p.r, int64(n)); err != nil || m != int64(n) {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// unquote takes the quotes off a STRING's argument. Text with escapes is not decoded: the
// caller treats it as unknown.
func unquote(op byte, s string) string {
	if op == 'S' && len(s) >= 2 && (s[0] == '\'' || s[0] == '"') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}
