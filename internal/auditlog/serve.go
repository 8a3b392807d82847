package auditlog

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"caos"
)

// Handler serves the public parts of the log by the paths of C2SP tlog-tiles below /log/:
// checkpoint, tile/<L>/<N>[.p/<W>] and tile/entries/<N>[.p/<W>], the last also as
// entries/<N>[.p/<W>]. Nothing it serves is confidential.
func (l *Log) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /log/checkpoint", func(w http.ResponseWriter, r *http.Request) {
		note, err := l.Checkpoint(r.Context())
		l.answer(w, "text/plain; charset=utf-8", "no-cache", note, err)
	})
	entries := func(w http.ResponseWriter, r *http.Request) {
		index, width, ok := parseTilePath(r.PathValue("path"))
		if !ok {
			http.NotFound(w, r)
			return
		}
		data, err := l.Entries(r.Context(), index, width)
		l.answer(w, "application/octet-stream", immutable, data, err)
	}
	mux.HandleFunc("GET /log/entries/{path...}", entries)
	mux.HandleFunc("GET /log/tile/entries/{path...}", entries)
	mux.HandleFunc("GET /log/tile/{level}/{path...}", func(w http.ResponseWriter, r *http.Request) {
		level, levelOK := parseSmall(r.PathValue("level"), 0, 63)
		index, width, ok := parseTilePath(r.PathValue("path"))
		if !ok || !levelOK {
			http.NotFound(w, r)
			return
		}
		data, err := l.Tile(r.Context(), level, index, width)
		l.answer(w, "application/octet-stream", immutable, data, err)
	})
	return mux
}

const immutable = "public, max-age=31536000, immutable"

func (l *Log) answer(w http.ResponseWriter, contentType, cache string, data []byte, err error) {
	switch caos.KindOf(err) {
	case "":
	case caos.NotFound:
		http.Error(w, "not found", http.StatusNotFound)
		return
	case caos.Unavailable:
		w.Header().Set("Retry-After", "60")
		http.Error(w, caos.AsError(err).Message, http.StatusServiceUnavailable)
		return
	default:
		l.log.Error("the public log could not be served", slog.Any("error", err))
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", cache)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
}

// parseTilePath reads <N>[.p/<W>]: an index in groups of three digits, all but the last
// led by an x, and the width of a partial tile.
func parseTilePath(path string) (index int64, width int, ok bool) {
	width = tileWidth
	if n, w, partial := strings.Cut(path, ".p/"); partial {
		if width, ok = parseSmall(w, 1, tileWidth-1); !ok {
			return 0, 0, false
		}
		path = n
	}
	groups := strings.Split(path, "/")
	if len(groups) > 5 {
		return 0, 0, false
	}
	for i, g := range groups {
		if i < len(groups)-1 {
			if g, ok = strings.CutPrefix(g, "x"); !ok {
				return 0, 0, false
			}
		}
		if len(g) != 3 || strings.Trim(g, "0123456789") != "" || i == 0 && len(groups) > 1 && g == "000" {
			return 0, 0, false
		}
		n, _ := strconv.ParseInt(g, 10, 64)
		index = index*1000 + n
	}
	return index, width, true
}

// parseSmall reads a decimal number without leading zeros.
func parseSmall(s string, lowest, highest int) (int, bool) {
	n, err := strconv.Atoi(s)
	if err != nil || n < lowest || n > highest || strconv.Itoa(n) != s {
		return 0, false
	}
	return n, true
}
