package db

import "time"

// Moments are stored as microseconds since 1970, and those that have not come as 0.

// Micros is a moment as it is stored; the zero time is 0.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Moment is a stored moment; 0 is the zero time.
func Moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// Instant is a moment that may not have come, as it is stored.
func Instant(t *time.Time) int64 {
	if t == nil {
		return 0
	}
	return t.UnixMicro()
}

// Optional is a stored moment that may not have come; 0 is nil.
func Optional(us int64) *time.Time {
	if us == 0 {
		return nil
	}
	t := time.UnixMicro(us).UTC()
	return &t
}
