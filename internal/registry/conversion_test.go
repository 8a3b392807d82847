package registry_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/registry"
)

func TestConversions(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		for _, name := range []string{"model.pt", "model.onnx", "model.trt"} {
			_, err := f.attach(fcs, v210, name, "trained", name)
			f.ok(err)
		}
		record := func(change func(*registry.Conversion)) (out *registry.Conversion, err error) {
			c := registry.Conversion{ModelID: fcs, Version: v210, From: "model.pt", To: "model.onnx", Tool: "torch.onnx", ToolVersion: "2.9.1",
				Parameters: map[string]any{"opset": 17.0}, Equivalence: "95-00-07-02-001"}
			change(&c)
			err = f.update(func(tx *db.Tx) (err error) {
				out, err = f.RecordConversion(tx, c, anna)
				return err
			})
			return out, err
		}
		for name, c := range map[string]struct {
			change func(*registry.Conversion)
			kind   caos.Kind
			field  string
		}{
			"itself":       {func(c *registry.Conversion) { c.To = "model.pt" }, caos.Invalid, "to"},
			"no artifact":  {func(c *registry.Conversion) { c.To = "model.tflite" }, caos.NotFound, "to"},
			"traversal":    {func(c *registry.Conversion) { c.From = "../model.pt" }, caos.Invalid, "from"},
			"no tool":      {func(c *registry.Conversion) { c.Tool = "" }, caos.Invalid, "tool"},
			"digest form":  {func(c *registry.Conversion) { c.FromDigest = "x" }, caos.Invalid, "from_digest"},
			"digest":       {func(c *registry.Conversion) { c.ToDigest = zeroes }, caos.Invalid, "to_digest"},
			"parameters":   {func(c *registry.Conversion) { c.Parameters["x"] = strings.Repeat("x", 17<<10) }, caos.TooLarge, "parameters"},
			"not a number": {func(c *registry.Conversion) { c.Parameters["x"] = math.NaN() }, caos.Internal, "parameters"},
			"equivalence":  {func(c *registry.Conversion) { c.Equivalence = "see the wiki" }, caos.Invalid, "equivalence"},
			"version":      {func(c *registry.Conversion) { c.Version = "9.9.9" }, caos.NotFound, "version"},
		} {
			_, err := record(c.change)
			t.Run(name, func(t *testing.T) { wantError(t, err, c.kind, c.field, "") })
		}
		c, err := record(func(*registry.Conversion) {})
		f.ok(err)
		if !strings.HasPrefix(c.FromDigest, "SHA256:") || c.FromDigest == c.ToDigest || c.RecordedBy != "anna" {
			t.Errorf("recorded %+v", c)
		}
		_, err = record(func(c *registry.Conversion) { c.From, c.To = "model.onnx", "model.trt" })
		f.ok(err)
		_, err = record(func(c *registry.Conversion) { c.From, c.To = "model.trt", "model.pt" })
		wantError(t, err, caos.Invalid, "from", "was itself made from")
		_, err = record(func(c *registry.Conversion) { c.ToolVersion = "2.10.0" }) // again
		f.ok(err)
		list, err := f.Conversions(context.Background(), fcs, v210)
		f.ok(err)
		if len(list) != 2 || list[0].From != "model.onnx" || list[1].ToolVersion != "2.10.0" || list[1].Parameters["opset"] != 17.0 {
			t.Errorf("listed %+v %+v", list[0], list[1])
		}
		f.must(func(tx *db.Tx) error { return f.Detach(tx, fcs, v210, "model.trt", anna) })
		list, err = f.Conversions(context.Background(), fcs, v210)
		f.ok(err)
		if len(list) != 1 {
			t.Errorf("%d records after an end of one is gone", len(list))
		}
		f.ok(f.claim(fcs, v210, theExec))
		_, err = record(func(*registry.Conversion) {})
		wantError(t, err, caos.Conflict, "version", theExec)
		_, err = f.Conversions(context.Background(), fcs, "9.9.9")
		wantError(t, err, caos.NotFound, "version", "")
	})
}
