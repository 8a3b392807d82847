package httpapi

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"caos/internal/engine"
)

// appendExecution writes an execution as encoding/json would, without checking its input
// and output once more: they were valid JSON when they were stored. A test holds the two
// equal.
func appendExecution(b []byte, x *engine.Execution) []byte {
	b = appendText(append(b, `{"execution_id":`...), x.ID)
	b = appendText(append(b, `,"hook_id":`...), x.HookID)
	b = appendText(append(b, `,"hook_version":`...), x.HookVersion)
	b = strconv.AppendInt(append(b, `,"revision":`...), int64(x.Revision), 10)
	b = appendText(append(b, `,"status":`...), string(x.Status))
	b = appendRaw(append(b, `,"input":`...), x.Input)
	b = appendRaw(append(b, `,"output":`...), x.Output)
	b = appendAny(append(b, `,"error":`...), x.Error, x.Error == nil)
	b = append(b, `,"findings":`...)
	if len(x.Findings) == 0 && x.Findings != nil {
		b = append(b, "[]"...)
	} else {
		b = appendAny(b, x.Findings, x.Findings == nil)
	}
	b = append(b, `,"children":`...)
	if len(x.Children) == 0 && x.Children != nil {
		b = append(b, "[]"...)
	} else {
		b = appendAny(b, x.Children, x.Children == nil)
	}
	b = append(b, `,"steps":`...)
	if x.Steps == nil {
		b = append(b, "null"...)
	} else {
		b = append(b, '[')
		for i := range x.Steps {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendStep(b, &x.Steps[i])
		}
		b = append(b, ']')
	}
	b = appendText(append(b, `,"requested_by":`...), x.RequestedBy)
	b = appendText(append(b, `,"created_at":`...), x.CreatedAt)
	b = appendOptional(append(b, `,"finished_at":`...), x.FinishedAt)
	return append(b, '}')
}

func appendStep(b []byte, s *engine.StepRecord) []byte {
	b = strconv.AppendInt(append(b, `{"number":`...), int64(s.Number), 10)
	b = appendText(append(b, `,"action":`...), s.Action)
	b = appendText(append(b, `,"step":`...), s.Step)
	b = appendText(append(b, `,"kind":`...), s.Kind)
	if s.Item != "" {
		b = appendText(append(b, `,"item":`...), s.Item)
	}
	if s.Round != 0 {
		b = strconv.AppendInt(append(b, `,"round":`...), int64(s.Round), 10)
	}
	b = appendText(append(b, `,"status":`...), string(s.Status))
	b = strconv.AppendInt(append(b, `,"attempt":`...), int64(s.Attempt), 10)
	b = appendText(append(b, `,"started_at":`...), s.StartedAt)
	b = appendOptional(append(b, `,"finished_at":`...), s.FinishedAt)
	b = appendOptional(append(b, `,"error":`...), s.Error)
	b = appendText(append(b, `,"audit_record_id":`...), s.AuditRecordID)
	return append(b, '}')
}

func appendOptional(b []byte, s *string) []byte {
	if s == nil {
		return append(b, "null"...)
	}
	return appendText(b, *s)
}

func appendRaw(b []byte, raw json.RawMessage) []byte {
	if len(raw) == 0 {
		return append(b, "null"...)
	}
	return append(b, raw...)
}

func appendAny(b []byte, v any, null bool) []byte {
	if null {
		return append(b, "null"...)
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // structs of strings
	}
	return append(b, text...)
}

// appendText appends a JSON string. Text that needs an escape is rare and is left to
// encoding/json.
func appendText(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' || c >= utf8.RuneSelf {
			text, err := json.Marshal(s)
			if err != nil {
				panic(err) // strings always can be
			}
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
