//go:build cgo

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"caos/internal/worker"
)

// Limits of an answer.
const (
	maxCell    = 1 << 20  // bytes of one text
	maxAnswer  = 16 << 20 // bytes of the rows of one query; the next rows are left out
	maxAnswers = 48 << 20 // bytes of the rows of all queries, less than one event may have
)

// queryView is the query that is being answered; no table of a job may have this name.
const queryView = "caos_query"

// query answers a query.
func (e *engine) query(ctx context.Context, q worker.Query) (*worker.Rows, error) {
	if err := e.check(ctx, q.SQL); err != nil {
		return nil, err
	}
	limit := q.MaxRows
	if limit == 0 {
		limit = maxRows
	}
	stop := e.watch(worker.PhaseQuery, q.Name)
	defer stop()
	// A view takes a statement as it stands, with its last semicolon or comment.
	if _, err := e.conn.ExecContext(ctx, "CREATE OR REPLACE TEMP VIEW "+queryView+" AS\n"+q.SQL); err != nil {
		return nil, err
	}
	columns, err := e.describe(ctx, "FROM "+queryView)
	if err != nil {
		return nil, err
	}
	rows, err := e.conn.QueryContext(ctx, "FROM "+queryView+" LIMIT "+strconv.Itoa(limit+1))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	r := &worker.Rows{Columns: columns, Rows: [][]any{}}
	to := make([]any, len(columns))
	size := 0
	for rows.Next() {
		if len(r.Rows) == limit || size > maxAnswer {
			r.Truncated = true
			break
		}
		row := make([]any, len(columns))
		for i := range row {
			to[i] = &row[i]
		}
		if err := rows.Scan(to...); err != nil {
			return nil, err
		}
		for i := range row {
			row[i] = cell(row[i], columns[i].Type)
			if s, ok := row[i].(string); ok && len(s) > maxCell {
				return nil, &worker.Failure{Kind: worker.KindSQL, Message: fmt.Sprintf("a value of the column %q has %d bytes, an answer's have %d at most", columns[i].Name, len(s), maxCell)}
			}
		}
		written, err := json.Marshal(row)
		if err != nil {
			return nil, err
		}
		size += len(written)
		r.Rows = append(r.Rows, row)
	}
	if e.answered += size; e.answered > maxAnswers {
		return nil, &worker.Failure{Kind: worker.KindRefused, Message: fmt.Sprintf("the answers of all queries have more than %d MiB", maxAnswers>>20)}
	}
	return r, rows.Err()
}

// cell turns a value of the driver into one of worker.Rows.
func cell(v any, kind string) any {
	switch v := v.(type) {
	case nil, bool:
		return v
	case int8, int16, int32, uint8, uint16, uint32:
		return v
	case int64:
		return integer(v, v > -1<<53 && v < 1<<53)
	case uint64:
		return integer(v, v < 1<<53)
	case float32:
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return float(f)
		}
		return v
	case float64:
		return float(v)
	case *big.Int:
		return v.String()
	case duckdb.Decimal:
		return decimal(v)
	case string:
		return strings.ToValidUTF8(v, "\uFFFD")
	case time.Time:
		return moment(v, kind)
	case duckdb.Interval:
		return fmt.Sprintf("P%dM%dDT%sS", v.Months, v.Days, strconv.FormatFloat(float64(v.Micros)/1e6, 'f', -1, 64))
	case []byte:
		if kind == "UUID" && len(v) == 16 {
			id := duckdb.UUID(v)
			return id.String()
		}
		return base64.StdEncoding.EncodeToString(v)
	case []any:
		list := make([]any, len(v))
		for i, x := range v {
			list[i] = cell(x, strings.TrimSuffix(kind, "[]"))
		}
		return list
	case map[string]any:
		fields := make(map[string]any, len(v))
		for k, x := range v {
			fields[k] = cell(x, "")
		}
		return fields
	}
	return strings.ToValidUTF8(fmt.Sprint(v), "\uFFFD") // maps, unions and types to come, as the driver prints them
}

// integer keeps a number that every reader of JSON has exactly; others become text.
func integer(v any, exact bool) any {
	if exact {
		return v
	}
	return fmt.Sprint(v)
}

func float(v float64) any {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	}
	return v
}

// decimal writes all its places: 1.50 is not 1.5 in a column of two.
func decimal(v duckdb.Decimal) string {
	digits := new(big.Int).Abs(v.Value).String()
	if scale := int(v.Scale); scale > 0 {
		if len(digits) <= scale {
			digits = strings.Repeat("0", scale-len(digits)+1) + digits
		}
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if v.Value.Sign() < 0 {
		return "-" + digits
	}
	return digits
}

func moment(v time.Time, kind string) string {
	switch {
	case kind == "DATE":
		return v.Format(time.DateOnly)
	case kind == "TIME":
		return v.Format("15:04:05.999999")
	case strings.HasPrefix(kind, "TIME WITH"):
		return v.Format("15:04:05.999999Z07:00")
	}
	return v.UTC().Format(time.RFC3339Nano)
}
