package auditlog

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"caos"
	"caos/internal/verify"
)

// chunkGroups is how many groups of 256 leaves a worker takes at once.
const chunkGroups = 16

const chunkLeaves = chunkGroups * tileWidth

// scan is what the workers make of one log.
type scan struct {
	*verifier
	log    *checkedLog
	upper  [][]tlog.Hash // stored entries of the levels above 0; [0] is unused
	groups []tlog.Hash   // of full groups

	mu       sync.Mutex
	disputed []disputedGroup
	tail     *group    // the unfinished group at the end
	tailOdd  []finding // rows in it that contradict themselves
}

// disputedGroup is a group whose leaves agree with each other and not with the level 1
// tile.
type disputedGroup struct {
	index       int64
	rows, entry tlog.Hash // what the leaves and the level 1 tile say
}

// checkLog checks one generation: leaves, tiles, head and published checkpoints.
func (v *verifier) checkLog(ctx context.Context, l *checkedLog) error {
	s := &scan{verifier: v, log: l, groups: make([]tlog.Hash, l.size/tileWidth)}
	chunks := (l.size + chunkLeaves - 1) / chunkLeaves
	l.resources = make([]sum, l.size/tileWidth+1)
	l.named = map[int64]bool{}
	if err := s.readUpper(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(int64(v.opt.Workers), chunks) {
		wg.Go(func() {
			w := &worker{scan: s, counts: map[Count]int64{}}
			defer w.done()
			for c := next.Add(1) - 1; c < chunks && ctx.Err() == nil; c = next.Add(1) - 1 {
				if err := w.chunk(ctx, c); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return s.conclude(ctx)
}

// readUpper reads the tiles above level 0: one hash for 256 leaves and fewer.
func (s *scan) readUpper(ctx context.Context) error {
	l := s.log
	s.upper = make([][]tlog.Hash, topLevel(l.size)+1)
	rows, err := s.d.Query(ctx, `SELECT level, tile_index, hashes FROM log_tiles WHERE generation = $1 AND (level > 0 OR level < 0 OR tile_index > $2)
		ORDER BY level, tile_index`, l.generation, max(l.size-1, 0)/tileWidth)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var level, index int64
		var data []byte
		if err := rows.Scan(&level, &index, &data); err != nil {
			return err
		}
		if level < 1 || level >= int64(len(s.upper)) || index < 0 || index*tileWidth >= levelWidth(l.size, int(level)) {
			// A log that grows meanwhile has more tiles than its head had.
			if l.closed || level < 0 || level >= maxLevels || index < 0 {
				s.problem(BadTile, l.generation, "tile %d/%d does not belong to a log of %d leaves", level, index, l.size)
			}
			continue
		}
		width := min(levelWidth(l.size, int(level))-index*tileWidth, tileWidth)
		if int64(len(data)) < width*tlog.HashSize {
			s.problem(BadTile, l.generation, "tile %d/%d has %d bytes of %d", level, index, len(data), width*tlog.HashSize)
			continue
		}
		if int64(len(s.upper[level])) != index*tileWidth {
			s.problem(BadTile, l.generation, "a tile is missing before tile %d/%d", level, index)
			continue
		}
		s.upper[level] = append(s.upper[level], tileHashes(data[:width*tlog.HashSize])...)
	}
	return rows.Err()
}

// conclude builds the tree from what the groups turned out to be and compares it with the
// stored tiles, the head and the published checkpoints.
func (s *scan) conclude(ctx context.Context) error {
	l := s.log
	var v verdict
	if s.tail != nil {
		v = s.tail.judge()
	}
	root := s.root(v.leaves)
	if root != l.root && len(s.disputed) > 0 {
		root = s.settle(root, v.leaves)
	}
	if root != l.root && len(v.rows) > 0 && !slices.Contains(s.tail.there, false) {
		// The leaves of the last, unfinished tile have no parent; the root judges.
		if s.root(s.tail.rows) == l.root {
			v, root = verdict{leaves: s.tail.rows, tileBad: true}, l.root
		}
	}
	if s.tail != nil {
		if err := s.name(ctx, s.tail, v, s.tailOdd); err != nil {
			return err
		}
		s.tails(s.tail.index, v.leaves)
	}
	forest := newForest(s.groups)
	s.checkUpper(forest)
	if root != l.root {
		s.problem(BadHead, l.generation, "its leaves hash to %s, the head says %s", verify.FormatHash(root), verify.FormatHash(l.root))
	}
	s.checkLastTime()
	s.checkPublished(forest)
	return nil
}

// checkPublished compares the trees that are known outside with the log's, the smallest
// first: with that the histories part.
func (s *scan) checkPublished(forest *forest) {
	var all []*published
	for _, ps := range s.log.byGroup {
		all = append(all, ps...)
	}
	slices.SortStableFunc(all, func(a, b *published) int {
		return cmp.Or(cmp.Compare(a.size, b.size), strings.Compare(a.from, b.from))
	})
	for _, p := range all {
		if root := forest.root(p.size/tileWidth, p.tail, int(p.size%tileWidth)); root != p.root {
			s.problem(p.kind(), s.log.generation, "%sthe published checkpoint of size %d has another root than the log: %s and not %s",
				p.who(), p.size, verify.FormatHash(p.root), verify.FormatHash(root))
		}
	}
}

// root is the root of the tree of the groups as they stand and the leaves behind them.
func (s *scan) root(tail []tlog.Hash) tlog.Hash {
	return newForest(s.groups).root(int64(len(s.groups)), treeOf(tail), len(tail))
}

// settle decides, where leaves and level 1 tile disagree, by the root of the tree: if that
// is the one of the tile, the leaves were rewritten.
func (s *scan) settle(root tlog.Hash, tail []tlog.Hash) tlog.Hash {
	for _, d := range s.disputed {
		s.groups[d.index] = d.entry
	}
	if other := s.root(tail); other == s.log.root {
		for _, d := range s.disputed {
			s.problem(BadLeaves, s.log.generation, "leaves %d to %d were rewritten together with their tile", d.index*tileWidth, (d.index+1)*tileWidth-1)
		}
		return other
	}
	for _, d := range s.disputed {
		s.groups[d.index] = d.rows
	}
	return root
}

// tails computes what the checkpoints that end in a group need of it.
func (s *scan) tails(index int64, leaves []tlog.Hash) {
	for _, p := range s.log.byGroup[index] {
		p.tail = treeOf(leaves[:min(p.size-index*tileWidth, int64(len(leaves)))])
	}
}

// judge decides about the groups of a chunk and names the rows that are not what they
// should be.
func (s *scan) judge(ctx context.Context, groups []*group, odd []finding) error {
	for _, g := range groups {
		var mine []finding
		for _, f := range odd {
			if f.index/tileWidth == g.index {
				mine = append(mine, f)
			}
		}
		if len(g.rows) < tileWidth {
			s.tail, s.tailOdd = g, mine // only one worker meets the last group
			continue
		}
		v := g.judge()
		s.groups[g.index] = v.hash
		s.tails(g.index, v.leaves)
		if v.disputed && *g.parent != v.hash {
			s.mu.Lock()
			s.disputed = append(s.disputed, disputedGroup{g.index, v.hash, *g.parent})
			s.mu.Unlock()
		}
		if err := s.name(ctx, g, v, mine); err != nil {
			return err
		}
	}
	return nil
}

// name reports the rows of a group that are missing, changed or contradict themselves.
func (s *scan) name(ctx context.Context, g *group, v verdict, odd []finding) error {
	if v.tileBad {
		s.problem(BadTile, s.log.generation, "tile 0/%d is missing or is not that of its leaves", g.index)
	}
	for _, i := range v.rows {
		index := g.index*tileWidth + int64(i)
		if slices.ContainsFunc(odd, func(f finding) bool { return f.index == index }) {
			continue
		}
		if !g.there[i] {
			s.accuse(Problem{BadMissing, s.log.generation, index, "", "the record is not there"})
			continue
		}
		var id string
		if err := s.d.QueryRow(ctx, `SELECT id FROM audit_records WHERE seq = $1`, position(s.log.generation, index)).Scan(&id); err != nil {
			return err
		}
		s.accuse(Problem{BadRecord, s.log.generation, index, id, "its leaf is not the one in the tree"})
	}
	for _, f := range odd {
		what := strings.Join(f.faults, "; ")
		if slices.Contains(v.rows, int(f.index%tileWidth)) {
			what += "; its leaf is not the one in the tree"
		}
		s.accuse(Problem{BadRecord, s.log.generation, f.index, f.id, what})
	}
	return nil
}

// accuse reports a problem of one leaf and remembers the leaf.
func (s *scan) accuse(p Problem) {
	s.verifier.mu.Lock()
	s.log.named[p.Index] = true
	s.log.missing = s.log.missing || p.Kind == BadMissing
	s.verifier.mu.Unlock()
	s.report(p)
}

// checkLastTime sees that no moment can be given again.
func (s *scan) checkLastTime() {
	l := s.log
	if l.closed || l.latest == "" {
		return
	}
	at, err := time.Parse(caos.StampLayout, l.latest)
	if err == nil && at.UnixMicro() > l.lastTime {
		s.problem(BadHead, l.generation, "its last time is before %s, which it has given", l.latest)
	}
}

// checkUpper compares the stored tiles above level 0 with the tree.
func (s *scan) checkUpper(f *forest) {
	for level := 1; level < len(s.upper); level++ {
		want := f.entries(level)
		got := s.upper[level]
		if n := levelWidth(s.log.size, level); int64(len(want)) > n {
			want = want[:n]
		}
		if len(got) < len(want) {
			s.problem(BadTile, s.log.generation, "level %d of the tiles has %d hashes of %d", level, len(got), len(want))
		}
		named := -1
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] && i/tileWidth != named {
				named = i / tileWidth
				s.problem(BadTile, s.log.generation, "tile %d/%d differs from the tree below it at entry %d", level, named, i%tileWidth)
			}
		}
	}
}

// worker checks chunks of a log. What it finds out about counts it keeps to itself until
// the end.
type worker struct {
	*scan
	checker rowChecker
	counts  map[Count]int64
	last    Count // counted lastN times and not yet in counts
	lastN   int64
	records int64
	latest  string
}

func (w *worker) done() {
	w.flush()
	w.verifier.mu.Lock()
	defer w.verifier.mu.Unlock()
	for c, n := range w.counts {
		w.verifier.counts[c] += n
	}
	w.sum.Records += w.records
	w.log.latest = max(w.log.latest, w.latest)
}

// chunk checks the leaves of chunk c.
func (w *worker) chunk(ctx context.Context, c int64) error {
	l := w.log
	first := c * chunkLeaves
	end := min(first+chunkLeaves, l.size)
	tiles, err := w.tilesOf(ctx, first/tileWidth, (end-1)/tileWidth)
	if err != nil {
		return err
	}
	groups := make([]*group, len(tiles))
	for i := range groups {
		g := first/tileWidth + int64(i)
		n := min(tileWidth, l.size-g*tileWidth)
		groups[i] = &group{index: g, rows: make([]tlog.Hash, n), there: make([]bool, n), tile: tiles[i]}
		if n == tileWidth && len(w.upper) > 1 && g < int64(len(w.upper[1])) {
			groups[i].parent = &w.upper[1][g]
		}
	}
	found, err := w.rowsOf(ctx, c, groups)
	if err != nil {
		return err
	}
	return w.judge(ctx, groups, found)
}

// tilesOf reads the level 0 tiles first to last, nil where one is missing or short.
func (w *worker) tilesOf(ctx context.Context, first, last int64) ([][]tlog.Hash, error) {
	rows, err := w.d.Query(ctx, `SELECT tile_index, hashes FROM log_tiles WHERE generation = $1 AND level = 0 AND tile_index >= $2 AND tile_index <= $3`,
		w.log.generation, first, last)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	tiles := make([][]tlog.Hash, last-first+1)
	for rows.Next() {
		var index int64
		var data []byte
		if err := rows.Scan(&index, &data); err != nil {
			return nil, err
		}
		width := min(tileWidth, w.log.size-index*tileWidth)
		if int64(len(data)) >= width*tlog.HashSize {
			tiles[index-first] = tileHashes(data[:width*tlog.HashSize])
		}
	}
	return tiles, rows.Err()
}

// finding is a row that contradicts itself.
type finding struct {
	index int64
	checked
}

// rowsOf reads and checks the rows of a chunk, and fills in the groups.
func (w *worker) rowsOf(ctx context.Context, c int64, groups []*group) ([]finding, error) {
	l := w.log
	first := c * chunkLeaves
	rows, err := w.d.Query(ctx, `SELECT `+recordColumns+` FROM audit_records WHERE seq >= $1 AND seq < $2`,
		position(l.generation, first), position(l.generation, min(first+chunkLeaves, l.size)))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var odd []finding
	var r row
	into := r.into()
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, fmt.Errorf("read record: %w", err)
		}
		w.records++
		_, index := splitPosition(r.seq)
		got := w.checker.check(&r)
		g := groups[(index-first)/tileWidth]
		g.rows[index%tileWidth], g.there[index%tileWidth] = got.hash, true
		if len(got.faults) > 0 {
			odd = append(odd, finding{index, got})
		}
		w.tally(&r, index, got)
	}
	return odd, rows.Err()
}

// tally counts a row for the comparisons with audit_resources and audit_counts.
func (w *worker) tally(r *row, index int64, got checked) {
	at, typ, project := w.checker.facts(r, got)
	w.log.resources[index/tileWidth].add(w.checker.resources(w.h, r.seq, at))
	c := Count{Day: at / dayMicros, Type: Type(typ), Project: project}
	if w.lastN > 0 && c != w.last {
		w.flush()
	}
	w.last = c
	w.lastN++
	if stamp, ok := bytes.CutPrefix(r.id, []byte("AUDIT-")); ok && len(stamp) == len(caos.StampLayout) && len(got.faults) == 0 {
		if string(stamp) > w.latest {
			w.latest = string(stamp)
		}
	}
}

// flush books what was counted since the count's key last changed: records of one kind
// often stand together, and a map is slow.
func (w *worker) flush() {
	w.counts[w.last] += w.lastN
	w.lastN = 0
}
