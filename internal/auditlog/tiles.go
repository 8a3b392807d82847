package auditlog

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"caos"
	"caos/internal/verify"
)

// Tile returns the first width hashes of a tile of the current log, 32 bytes each. Width
// is 1 to 256; a tile that the log does not have yet is NotFound.
func (l *Log) Tile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	h, err := readHead(ctx, l.db)
	if err != nil {
		return nil, err
	}
	return readTile(ctx, l.db, h.generation, tlog.Tile{H: tileBits, L: level, N: index, W: width})
}

func readTile(ctx context.Context, d reader, generation int64, t tlog.Tile) ([]byte, error) {
	missing := caos.Errorf(caos.NotFound, "the log has no tile %d/%d of width %d", t.L, t.N, t.W)
	if t.L < 0 || t.L >= maxLevels || t.N < 0 || t.W < 1 || t.W > tileWidth {
		return nil, missing
	}
	var data []byte
	err := d.QueryRow(ctx, `SELECT hashes FROM log_tiles WHERE generation = $1 AND level = $2 AND tile_index = $3`,
		generation, t.L, t.N).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) || err == nil && len(data) < t.W*tlog.HashSize {
		return nil, missing
	}
	if err != nil {
		return nil, fmt.Errorf("read tile: %w", err)
	}
	return data[:t.W*tlog.HashSize], nil
}

// Entries returns the first width leaves of bundle index of the current log, each behind
// its length as a big-endian 16-bit number (C2SP tlog-tiles). Width is 1 to 256.
func (l *Log) Entries(ctx context.Context, index int64, width int) ([]byte, error) {
	h, err := readHead(ctx, l.db)
	if err != nil {
		return nil, err
	}
	first := index * tileWidth
	if width < 1 || width > tileWidth || index < 0 || index > h.size/tileWidth || first+int64(width) > h.size {
		return nil, caos.Errorf(caos.NotFound, "the log has no bundle %d of width %d", index, width)
	}
	rows, err := l.db.Query(ctx, `SELECT leaf FROM audit_records WHERE seq >= $1 AND seq < $2 ORDER BY seq`,
		position(h.generation, first), position(h.generation, first+int64(width)))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := make([]byte, 0, width*256)
	n := 0
	for ; rows.Next(); n++ {
		var leaf []byte
		if err := rows.Scan(&leaf); err != nil {
			return nil, fmt.Errorf("read leaves: %w", err)
		}
		if len(leaf) > verify.MaxLeaf {
			return nil, fmt.Errorf("leaf %d is damaged", first+int64(n))
		}
		out = binary.BigEndian.AppendUint16(out, uint16(len(leaf)))
		out = append(out, leaf...)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read leaves: %w", err)
	}
	if n != width {
		return nil, fmt.Errorf("bundle %d is damaged: %d leaves of %d", index, n, width)
	}
	return out, nil
}

// tileReader reads tiles for tlog, which checks them against the tree's root.
type tileReader struct {
	ctx        context.Context // of the one call that the reader serves
	d          reader
	generation int64
}

func (r tileReader) Height() int                     { return tileBits }
func (r tileReader) SaveTiles([]tlog.Tile, [][]byte) {}
func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		var err error
		if out[i], err = readTile(r.ctx, r.d, r.generation, t); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (l *Log) hashes(ctx context.Context, generation, size int64, root tlog.Hash) tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: size, Hash: root}, tileReader{ctx, l.db, generation})
}

// Prove returns a proof (c2sp.org/tlog-proof@v1) that a record is in the log. A record of
// a closed generation is proved by the last checkpoint that its log had published and
// still agreed with; one behind that cannot be proved so, and the successor's first leaf
// tells of it.
func (l *Log) Prove(ctx context.Context, id string) ([]byte, error) {
	s, err := l.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return l.ProveStored(ctx, s)
}

// ProveStored is Prove for a record at hand.
func (l *Log) ProveStored(ctx context.Context, s *Stored) ([]byte, error) {
	note, err := l.noteFor(ctx, s)
	if err != nil {
		return nil, err
	}
	return l.ProveUnder(ctx, s, note)
}

// ProveUnder is ProveStored under a checkpoint that the caller has, such as one that others
// have cosigned since. Errors: Invalid for a checkpoint that does not cover the record, or
// that is of another log.
func (l *Log) ProveUnder(ctx context.Context, s *Stored, note []byte) ([]byte, error) {
	c, err := readNote(note)
	if err != nil {
		return nil, err
	}
	if c.Origin != originOf(l.base, s.Generation) || s.Index >= c.Size {
		return nil, caos.Errorf(caos.Invalid, "the checkpoint of %s with %d leaves does not cover the record %s", c.Origin, c.Size, s.ID).WithField("checkpoint")
	}
	hashes, err := tlog.ProveRecord(c.Size, s.Index, l.hashes(ctx, s.Generation, c.Size, c.Root))
	if err != nil {
		return nil, caos.Wrap(caos.Internal, err, "the log is damaged where the proof of %s would come from", s.ID).
			WithHint("run caos audit verify")
	}
	return verify.FormatProof(verify.Proof{Index: s.Index, Hashes: hashes, Checkpoint: note}), nil
}

// noteFor returns a checkpoint that covers a record.
func (l *Log) noteFor(ctx context.Context, s *Stored) ([]byte, error) {
	h, err := readHead(ctx, l.db)
	if err != nil {
		return nil, err
	}
	if s.Generation == h.generation {
		if on, _ := l.Recovery(); !on {
			return l.Checkpoint(ctx)
		}
		// In recovery mode nothing is signed, but what was published still holds as far as
		// the log agrees with it.
		agreed, note, _, err := l.survey(ctx, h)
		if err == nil && s.Index < agreed {
			return note, nil
		}
		return l.Checkpoint(ctx) // says why there is none
	}
	var size int64
	var note string
	err = l.db.QueryRow(ctx, `SELECT agreed_size, agreed_note FROM log_closed WHERE generation = $1`, s.Generation).Scan(&size, &note)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("read closed log: %w", err)
	}
	if s.Index >= size {
		return nil, caos.Errorf(caos.Conflict, "%s lies in the part of a closed log that no published checkpoint covers", s.ID).
			WithHint("the first record of the successor log states the closed log's size and root")
	}
	return []byte(note), nil
}

// Consistency returns the hashes that prove that the current log of to leaves extends that
// of from leaves (RFC 6962 section 2.1.2).
func (l *Log) Consistency(ctx context.Context, from, to int64) ([]tlog.Hash, error) {
	h, err := readHead(ctx, l.db)
	if err != nil {
		return nil, err
	}
	if from < 1 || to < from || to > h.size {
		return nil, caos.Errorf(caos.Invalid, "sizes %d and %d: the log has %d leaves", from, to, h.size).WithField("from")
	}
	proof, err := tlog.ProveTree(to, from, l.hashes(ctx, h.generation, h.size, h.root))
	if err != nil {
		return nil, caos.Wrap(caos.Internal, err, "the log is damaged where the proof would come from").WithHint("run caos audit verify")
	}
	return proof, nil
}

// rootAt returns the root that the first size leaves of a generation have by its tiles.
func rootAt(ctx context.Context, d reader, generation, size int64) (tlog.Hash, error) {
	var tails [maxLevels][]byte
	for level := range tails {
		width := tailWidth(size, level)
		if width == 0 {
			continue
		}
		var err error
		tails[level], err = readTile(ctx, d, generation, tlog.Tile{H: tileBits, L: level, N: size >> (tileBits * (level + 1)), W: width})
		if err != nil {
			return tlog.Hash{}, err
		}
	}
	e, err := edgeOf(size, tails)
	if err != nil {
		return tlog.Hash{}, err
	}
	return e.root(), nil
}
