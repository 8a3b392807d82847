package auditlog

import "bytes"

// columns are the fields of a record that the table repeats for queries, as text.
type columns struct {
	id, time, typ, actor, recordedBy, execution, project, class []byte
	resources                                                   [][]byte
}

// scanColumns finds the columns in a record without building anything else: verification
// spends most of its time here. It reads what encode writes and returns false for
// anything unusual, which ParseRecord then has to judge.
func scanColumns(text []byte, c *columns) bool {
	*c = columns{resources: c.resources[:0]}
	if len(text) < 2 || text[0] != '{' {
		return false
	}
	for i := 1; ; {
		key, next, ok := scanString(text, i)
		if !ok || next >= len(text) || text[next] != ':' {
			return false
		}
		i = next + 1
		if into := c.field(key); into != nil {
			*into, i, ok = scanString(text, i)
		} else if string(key) == "resources" {
			i, ok = c.scanResources(text, i)
		} else {
			i, ok = skipValue(text, i)
		}
		if !ok || i >= len(text) {
			return false
		}
		switch text[i] {
		case ',':
			i++
		case '}':
			return i == len(text)-1
		default:
			return false
		}
	}
}

func (c *columns) field(key []byte) *[]byte {
	switch string(key) {
	case "id":
		return &c.id
	case "time":
		return &c.time
	case "type":
		return &c.typ
	case "actor":
		return &c.actor
	case "recorded_by":
		return &c.recordedBy
	case "execution":
		return &c.execution
	case "project":
		return &c.project
	case "classification":
		return &c.class
	}
	return nil
}

func (c *columns) scanResources(text []byte, i int) (int, bool) {
	if i >= len(text) || text[i] != '[' {
		return 0, false
	}
	for i++; ; i++ {
		s, next, ok := scanString(text, i)
		if !ok || next >= len(text) {
			return 0, false
		}
		c.resources = append(c.resources, s)
		i = next
		if text[i] == ']' {
			return i + 1, true
		}
		if text[i] != ',' {
			return 0, false
		}
	}
}

// scanString returns the text of the string literal at i and where it ends.
func scanString(text []byte, i int) ([]byte, int, bool) {
	if i >= len(text) || text[i] != '"' {
		return nil, 0, false
	}
	end, escaped := stringEnd(text, i+1)
	if end < 0 {
		return nil, 0, false
	}
	s := text[i+1 : end]
	if escaped {
		s = []byte(unescape(s))
	}
	return s, end + 1, true
}

// stringEnd finds the closing quote of a string whose text begins at i.
func stringEnd(text []byte, i int) (end int, escaped bool) {
	for {
		n := bytes.IndexByte(text[i:], '"')
		if n < 0 {
			return -1, false
		}
		slashes := 0
		for j := i + n - 1; j >= i && text[j] == '\\'; j-- {
			slashes++
		}
		if !escaped && bytes.IndexByte(text[i:i+n], '\\') >= 0 {
			escaped = true
		}
		i += n + 1
		if slashes%2 == 0 {
			return i - 1, escaped
		}
	}
}

// skipValue returns where the value at i ends.
func skipValue(text []byte, i int) (int, bool) {
	for depth := 0; i < len(text); {
		switch text[i] {
		case '"':
			end, _ := stringEnd(text, i+1)
			if end < 0 {
				return 0, false
			}
			i = end + 1
			if depth == 0 {
				return i, true
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth <= 0 {
				return i + depth + 1, depth == 0
			}
		case ',':
			if depth == 0 {
				return i, true
			}
		}
		i++
		if depth == 0 && i < len(text) && (text[i] == ',' || text[i] == '}') {
			return i, true
		}
	}
	return 0, false
}
