package auditlog

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"
)

// indexRow is a row of audit_resources. The text is valid until the next row is read.
type indexRow struct {
	seq      int64
	stamp    sql.RawBytes
	resource sql.RawBytes
}

// eachIndexRow reads all of audit_resources.
func (v *verifier) eachIndexRow(ctx context.Context, fn func(r *indexRow)) error {
	rows, err := v.d.Query(ctx, `SELECT seq, time_us, resource FROM audit_resources`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var r indexRow
	for rows.Next() {
		if err := rows.Scan(&r.seq, &r.stamp, &r.resource); err != nil {
			return fmt.Errorf("read the index of resources: %w", err)
		}
		fn(&r)
	}
	return rows.Err()
}

// logOf returns the log that has the leaf at a position, nil if none had when Verify
// began.
func (v *verifier) logOf(seq int64) (l *checkedLog, index int64) {
	g, index := splitPosition(seq)
	for _, l := range v.logs {
		if l.generation == g && index < l.size {
			return l, index
		}
	}
	return nil, index
}

// readIndex begins to digest audit_resources, by log and group, and returns a function
// that waits for the result.
func (v *verifier) readIndex(ctx context.Context) func() ([][]sum, error) {
	sums := make([][]sum, len(v.logs))
	for i, l := range v.logs {
		sums[i] = make([]sum, l.size/tileWidth+1)
	}
	done := make(chan error, 1)
	go func() {
		done <- v.eachIndexRow(ctx, func(r *indexRow) {
			l, index := v.logOf(r.seq)
			if l == nil {
				return // strays are looked for elsewhere
			}
			sums[slices.Index(v.logs, l)][index/tileWidth].add(v.h.of(r.seq, parseMicros(r.stamp), r.resource))
		})
	}()
	return func() ([][]sum, error) { return sums, <-done }
}

// indexKey is what one row of audit_resources says.
type indexKey struct {
	seq, time int64
	resource  string
}

// checkIndex compares the digests with those of the records and, where they differ, the
// rows one by one.
func (v *verifier) checkIndex(ctx context.Context, sums [][]sum) error {
	bad := map[*checkedLog]map[int64]bool{}
	for i, l := range v.logs {
		for g, s := range sums[i] {
			if s != l.resources[g] {
				if bad[l] == nil {
					bad[l] = map[int64]bool{}
				}
				bad[l][int64(g)] = true
			}
		}
	}
	if len(bad) > 0 {
		if err := v.compareIndex(ctx, bad); err != nil {
			return err
		}
	}
	// Rows behind the end: the head of this very moment counts, since the log may grow.
	rows, err := v.d.Query(ctx, `SELECT s.seq, s.resource FROM log_head h, audit_resources s
		WHERE s.seq < $1 OR s.seq >= h.generation * 1099511627776 + h.size`, position(v.logs[0].generation, 0))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		var resource string
		if err := rows.Scan(&seq, &resource); err != nil {
			return err
		}
		g, index := splitPosition(seq)
		v.report(Problem{BadResource, g, index, "", fmt.Sprintf("the index names resource %q of a leaf that is not there", clip(resource))})
	}
	return rows.Err()
}

// compareIndex finds the rows that are missing or too many in the groups that differ.
func (v *verifier) compareIndex(ctx context.Context, bad map[*checkedLog]map[int64]bool) error {
	want := map[indexKey]string{} // to the record's id
	for l, groups := range bad {
		for g := range groups {
			if err := v.wantIndex(ctx, l, g, want); err != nil {
				return err
			}
		}
	}
	var extra []indexKey
	err := v.eachIndexRow(ctx, func(r *indexRow) {
		l, index := v.logOf(r.seq)
		if l == nil || !bad[l][index/tileWidth] || l.named[index] {
			return
		}
		k := indexKey{r.seq, parseMicros(r.stamp), string(r.resource)}
		if _, ok := want[k]; ok {
			delete(want, k)
		} else {
			extra = append(extra, k)
		}
	})
	if err != nil {
		return err
	}
	for k, id := range want {
		g, index := splitPosition(k.seq)
		v.report(Problem{BadResource, g, index, id, fmt.Sprintf("the index does not have its resource %q", clip(k.resource))})
	}
	for _, k := range extra {
		g, index := splitPosition(k.seq)
		var id string
		if err := v.d.QueryRow(ctx, `SELECT id FROM audit_records WHERE seq = $1`, k.seq).Scan(&id); err != nil {
			return err
		}
		v.report(Problem{BadResource, g, index, id, fmt.Sprintf("the index says resource %q, which it does not have", clip(k.resource))})
	}
	return nil
}

// wantIndex adds what the index must hold of a group, but for records already reported.
func (v *verifier) wantIndex(ctx context.Context, l *checkedLog, g int64, want map[indexKey]string) error {
	rows, err := v.d.Query(ctx, `SELECT `+recordColumns+` FROM audit_records WHERE seq >= $1 AND seq < $2`,
		position(l.generation, g*tileWidth), position(l.generation, min((g+1)*tileWidth, l.size)))
	if err != nil {
		return err
	}
	defer rows.Close()
	var r row
	var k rowChecker
	into := r.into()
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		_, index := splitPosition(r.seq)
		if l.named[index] {
			continue
		}
		k.check(&r)
		for _, res := range k.cols.resources {
			want[indexKey{r.seq, r.time, string(bytes.Clone(res))}] = string(r.id)
		}
	}
	return rows.Err()
}
