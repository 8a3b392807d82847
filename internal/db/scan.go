package db

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// arguments makes statement arguments mean the same on both databases. Times are refused
// because the two would store different texts; the schema keeps microseconds.
func arguments(args []any) ([]any, error) {
	copied := false
	for i, a := range args {
		var b any
		switch v := a.(type) {
		case string, int64, int, []byte, bool, nil, float64:
			continue
		case json.RawMessage: // JSON columns are TEXT; SQLite would store a blob in them
			b = any(nil)
			if v != nil {
				b = string(v)
			}
		case time.Time, *time.Time:
			return nil, errors.New("time argument: pass UnixMicro()")
		case time.Duration:
			return nil, errors.New("duration argument: pass a number of a named unit")
		default:
			continue
		}
		if !copied {
			args, copied = append([]any(nil), args...), true
		}
		args[i] = b
	}
	return args, nil
}

// refused is an argument that makes a statement fail with its error.
type refused struct{ error }

// Value returns the error.
func (r refused) Value() (driver.Value, error) { return nil, r.error }

// assign copies a value that database/sql gave into dest, by the rules of sql.Rows.Scan for
// the types that the schema uses; unlike there, text may go into any slice of bytes, such as
// json.RawMessage.
func assign(dest, src any) error {
	switch d := dest.(type) {
	case *string:
		switch s := src.(type) {
		case string:
			*d = s
			return nil
		case []byte:
			*d = string(s)
			return nil
		}
	case *int64:
		if s, ok := src.(int64); ok {
			*d = s
			return nil
		}
	case *int:
		if s, ok := src.(int64); ok && int64(int(s)) == s {
			*d = int(s)
			return nil
		}
	case *[]byte:
		switch s := src.(type) {
		case nil:
			*d = nil
			return nil
		case []byte:
			*d = append([]byte{}, s...)
			return nil
		case string:
			*d = []byte(s)
			return nil
		}
	case *any:
		*d = src
		return nil
	case sql.Scanner:
		return d.Scan(src)
	}
	p := reflect.ValueOf(dest)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return errors.New("destination is not a pointer")
	}
	return assignValue(p.Elem(), src)
}

func assignValue(v reflect.Value, src any) error {
	if v.Kind() == reflect.Pointer {
		if src == nil {
			v.SetZero()
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return assign(v.Interface(), src)
	}
	if src == nil {
		if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetZero()
			return nil
		}
		return fmt.Errorf("converting NULL to %s", v.Type())
	}
	text := textOf(src)
	switch v.Kind() {
	case reflect.String:
		_, isText := src.(string)
		_, isBytes := src.([]byte)
		if isText || isBytes || v.Type() == reflect.TypeFor[string]() {
			v.SetString(text)
			return nil
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(text))
			return nil
		}
	case reflect.Bool:
		b, err := driver.Bool.ConvertValue(src)
		if err != nil {
			return err
		}
		v.SetBool(b.(bool))
		return nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("converting %T to %s: %w", src, v.Type(), errors.Unwrap(err))
		}
		v.SetInt(n)
		return nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("converting %T to %s: %w", src, v.Type(), errors.Unwrap(err))
		}
		v.SetUint(n)
		return nil
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("converting %T to %s: %w", src, v.Type(), errors.Unwrap(err))
		}
		v.SetFloat(f)
		return nil
	}
	return fmt.Errorf("converting %T to %s is not supported", src, v.Type())
}

func textOf(src any) string {
	switch s := src.(type) {
	case string:
		return s
	case []byte:
		return string(s)
	case int64:
		return strconv.FormatInt(s, 10)
	case float64:
		return strconv.FormatFloat(s, 'g', -1, 64)
	case bool:
		return strconv.FormatBool(s)
	}
	return fmt.Sprint(src)
}
