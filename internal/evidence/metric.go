package evidence

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/codec"
)

// maxColumns bounds the columns of a table and the metrics of a series.
const maxColumns = 500

// timeNames are the names under which makers of series put what orders the points.
func timeNames() []string {
	return []string{"time", "timestamp", "ts", "date", "datetime", "t", "epoch", "step", "iteration", "window", "window_start", "index"}
}

// metricCSV reads a series as a table with a header: one column that orders the rows and
// at least one column of numbers. Empty cells are points that were not measured; NaN and
// infinities are refused, because nothing can be concluded from them.
func (rd *reading) metricCSV() error {
	s := &series{points: map[string]*MetricColumn{}}
	var header []string
	timeAt := -1
	notNumbers := make(map[int]bool)
	err := rd.csv(func(n int, row []string) error {
		if n == 0 {
			header = row
			timeAt = timeColumn(header)
			if timeAt < 0 {
				return refuse("no column of the series orders its rows").WithHint("name it one of %v", timeNames())
			}
			s.time = header[timeAt]
			return nil
		}
		if !moment(row[timeAt]) {
			return refuse("row %d: %.40q in column %.40q is neither a time nor a number", n, row[timeAt], s.time)
		}
		s.rows++
		for i, cell := range row {
			cell = strings.TrimSpace(cell)
			if i == timeAt || cell == "" || notNumbers[i] {
				continue
			}
			f, err := strconv.ParseFloat(cell, 64)
			if err != nil && !errors.Is(err, strconv.ErrRange) {
				if s.points[header[i]] != nil {
					return refuse("row %d: %.40q in column %.40q is not a number, as it was in the rows above", n, cell, header[i])
				}
				notNumbers[i] = true // labels
				continue
			}
			if err := s.add(header[i], f, n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.finish(rd)
}

func timeColumn(header []string) int {
	for _, want := range timeNames() {
		for i, h := range header {
			if strings.EqualFold(strings.TrimSpace(h), want) {
				return i
			}
		}
	}
	return -1
}

// moment reports whether s can order a row: a number or a date.
func moment(s string) bool {
	s = strings.TrimSpace(s)
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return !math.IsNaN(f) && !math.IsInf(f, 0)
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04", time.DateOnly} {
		if _, err := time.Parse(layout, s); err == nil {
			return true
		}
	}
	return false
}

// metricJSON reads a series as JSON: a list of points, an object with such a list named
// series, points, metrics, data or samples, or one point a line. A point is an object with
// a member that orders it and at least one number.
func (rd *reading) metricJSON(lines bool) error {
	s := &series{points: map[string]*MetricColumn{}}
	if lines {
		err := rd.lines(rd.lim.MaxValue, func(n int, line []byte) error {
			if len(strings.TrimSpace(string(line))) == 0 {
				return nil
			}
			m, err := lineObject(line, n, rd.lim)
			if err != nil {
				return err
			}
			return s.point(m, n)
		})
		if err != nil {
			return err
		}
		return s.finish(rd)
	}
	j := rd.json()
	one := func(i int) error {
		v, err := j.value()
		if err != nil {
			return err
		}
		m, ok := v.(map[string]any)
		if !ok {
			return refuse("point %d is not an object", i)
		}
		return s.point(m, i)
	}
	tok, err := j.token()
	if err != nil {
		return err
	}
	if err := j.deeper(); err != nil {
		return err
	}
	switch delim(tok) {
	case '[':
		err = j.items(one)
	case '{':
		err = j.members(func(key string) error {
			switch key {
			case "series", "points", "metrics", "data", "samples":
				return j.array(key, one)
			}
			return j.skip()
		})
	default:
		return refuse("the series is neither an object nor a list")
	}
	if err == nil {
		err = j.end()
	}
	if err != nil {
		return err
	}
	return s.finish(rd)
}

func lineObject(line []byte, n int, lim Limits) (map[string]any, error) {
	v, err := codec.Value(line, "application/json", codec.Limits{MaxBytes: int64(lim.MaxValue), MaxDepth: lim.MaxDepth})
	if err != nil {
		return nil, inside("line "+strconv.Itoa(n), err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, refuse("line %d is not a JSON object", n)
	}
	return m, nil
}

// series gathers what a metric series says.
type series struct {
	rows   int
	time   string
	points map[string]*MetricColumn
}

func (s *series) point(m map[string]any, n int) error {
	if s.time == "" {
		for _, name := range timeNames() {
			if _, ok := m[name]; ok {
				s.time = name
				break
			}
		}
		if s.time == "" {
			return refuse("point %d has no member that orders it", n).WithHint("name it one of %v", timeNames())
		}
	}
	if !moment(text(m[s.time])) {
		return refuse("point %d: %s is neither a time nor a number", n, s.time)
	}
	s.rows++
	found := false
	for name, v := range m {
		num, ok := v.(json.Number)
		if !ok || name == s.time {
			continue
		}
		f, err := num.Float64()
		if err != nil {
			return refuse("point %d: %.40q is out of range", n, name)
		}
		found = true
		if err := s.add(name, f, n); err != nil {
			return err
		}
	}
	if !found {
		return refuse("point %d holds no number", n)
	}
	return nil
}

func (s *series) add(name string, f float64, n int) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return refuse("row %d: %.40q is not a finite number", n, name).WithHint("leave out what was not measured")
	}
	c := s.points[name]
	if c == nil {
		if len(s.points) >= maxColumns {
			return caos.Errorf(caos.TooLarge, "the series has more than %d metrics", maxColumns)
		}
		c = &MetricColumn{Name: clip(name, 100), Min: f, Max: f}
		s.points[name] = c
	}
	c.Points++
	c.Min, c.Max = min(c.Min, f), max(c.Max, f)
	c.Mean += (f - c.Mean) / float64(c.Points)
	return nil
}

func (s *series) finish(rd *reading) error {
	if s.rows == 0 {
		return refuse("the series holds no point").WithHint("nothing measured is not evidence")
	}
	if len(s.points) == 0 {
		return refuse("the series holds no number").WithHint("at least one column has numbers in every row that is not empty")
	}
	out := &Series{Points: s.rows, Time: clip(s.time, 100)}
	for _, c := range s.points {
		out.Metrics = append(out.Metrics, *c)
	}
	sort.Slice(out.Metrics, func(a, b int) bool { return out.Metrics[a].Name < out.Metrics[b].Name })
	if len(out.Metrics) > 50 {
		out.Metrics = out.Metrics[:50]
	}
	rd.out.Series, rd.out.Rows = out, s.rows
	return nil
}

// csv calls fn with the header as row 0 and then with every data row.
func (rd *reading) csv(fn func(n int, row []string) error) error {
	r := csv.NewReader(rd.src)
	r.ReuseRecord = true
	for n := 0; ; n++ {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		rd.src.mark(r.InputOffset())
		if n > rd.lim.MaxItems {
			return caos.Errorf(caos.TooLarge, "the table has more than %d rows", rd.lim.MaxItems)
		}
		if n == 0 {
			if row, err = headerOf(row); err != nil {
				return err
			}
		}
		if err := fn(n, row); err != nil {
			return err
		}
	}
}

func headerOf(row []string) ([]string, error) {
	if len(row) > maxColumns {
		return nil, caos.Errorf(caos.TooLarge, "the table has more than %d columns", maxColumns)
	}
	out := make([]string, len(row))
	seen := map[string]bool{}
	for i, h := range row {
		if i == 0 {
			h = strings.TrimPrefix(h, "\ufeff")
		}
		h = strings.TrimSpace(h)
		if h == "" || seen[h] {
			return nil, refuse("column %d of the table has no name of its own: %.40q", i+1, h).WithHint("the first row names every column, each once")
		}
		seen[h] = true
		out[i] = h
	}
	return out, nil
}
