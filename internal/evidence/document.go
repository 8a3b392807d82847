package evidence

import (
	"bytes"
	"errors"
	"io"
	"regexp"
)

// maxLogLine bounds one line of text.
const maxLogLine = 64 << 10

// text reads a log, a plain text or Markdown: lines of UTF-8 without control characters
// but tab and escape (which colours what terminals print), at least one of them not blank.
func (rd *reading) text() error {
	blank := true
	err := rd.lines(min(maxLogLine, rd.lim.MaxValue), func(n int, line []byte) error {
		rd.out.Lines = n
		for _, c := range line {
			if c < 0x20 && c != '\t' && c != 0x1b && c != '\r' && c != '\f' || c == 0x7f {
				return refuse("line %d has the control character 0x%02x", n, c)
			}
		}
		if blank && len(bytes.TrimSpace(line)) > 0 {
			blank = false
		}
		return nil
	})
	if err == nil && blank {
		err = refuse("the text is blank")
	}
	return err
}

// table reads a CSV document: a header and at least one row, all of one width.
func (rd *reading) table() error {
	err := rd.csv(func(n int, _ []string) error {
		rd.out.Rows = n
		return nil
	})
	if err == nil && rd.out.Rows == 0 {
		err = refuse("the table holds no row")
	}
	return err
}

// htmlStart is how an HTML document announces itself.
var htmlStart = regexp.MustCompile(`(?i)^(\s|<!--.*?-->)*<(!doctype html|html)[\s>]`)

// html reads an HTML document: UTF-8 that begins as one and has its end. It is kept and
// served as a download, never shown under this server's name.
func (rd *reading) html() error {
	var head, tail []byte
	buf := make([]byte, 32<<10)
	for {
		n, err := rd.src.Read(buf)
		if room := 4096 - len(head); room > 0 {
			head = append(head, buf[:min(room, n)]...)
		}
		tail = append(tail, buf[:n]...)
		tail = tail[max(0, len(tail)-4096):]
		rd.src.mark(rd.src.total)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if !htmlStart.Match(bytes.TrimPrefix(head, []byte("\ufeff"))) {
		return refuse("the artifact does not begin as an HTML document")
	}
	if !bytes.Contains(bytes.ToLower(tail), []byte("</html")) {
		return refuse("the HTML document breaks off: its end tag is missing")
	}
	return nil
}

// pdf reads the two ends of a PDF document. What is between them is not interpreted here.
func (rd *reading) pdf() error {
	var head, tail []byte
	buf := make([]byte, 32<<10)
	for {
		n, err := rd.src.Read(buf)
		if room := 16 - len(head); room > 0 {
			head = append(head, buf[:min(room, n)]...)
		}
		tail = append(tail, buf[:n]...)
		tail = append(tail[:0], tail[max(0, len(tail)-2048):]...)
		rd.src.mark(rd.src.total)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if len(head) < 8 || !bytes.HasPrefix(head, []byte("%PDF-")) || head[5] != '1' && head[5] != '2' || head[6] != '.' {
		return refuse("the artifact does not begin as a PDF document")
	}
	if end := tail[max(0, len(tail)-1024):]; !bytes.Contains(end, []byte("%%EOF")) {
		return refuse("the PDF document breaks off: its end marker is missing")
	}
	if !bytes.Contains(tail, []byte("startxref")) {
		return refuse("the PDF document breaks off: its cross-reference is missing")
	}
	return nil
}
