package registry_test

import (
	"context"
	"strings"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/registry"
)

func TestVersionsAreRefused(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, "2.1.0")
		for name, c := range map[string]struct {
			v     registry.Version
			kind  caos.Kind
			field string
			say   string
		}{
			"no semver":         {registry.Version{Version: "2.2"}, caos.Invalid, "version", ""},
			"leading v":         {registry.Version{Version: "v2.2.0"}, caos.Invalid, "version", ""},
			"leading zero":      {registry.Version{Version: "2.02.0"}, caos.Invalid, "version", ""},
			"build part":        {registry.Version{Version: "2.2.0+7"}, caos.Invalid, "version", ""},
			"empty word":        {registry.Version{Version: "2.2.0-rc..1"}, caos.Invalid, "version", "semantic version"},
			"zero in word":      {registry.Version{Version: "2.2.0-01"}, caos.Invalid, "version", "semantic version"},
			"path":              {registry.Version{Version: "../2.2.0"}, caos.Invalid, "version", ""},
			"nothing":           {registry.Version{}, caos.Invalid, "version", ""},
			"lower":             {registry.Version{Version: "2.0.9"}, caos.Invalid, "version", "not higher than 2.1.0"},
			"own pre-release":   {registry.Version{Version: "2.1.0-rc.1"}, caos.Invalid, "version", "not higher than 2.1.0"},
			"the same":          {registry.Version{Version: "2.1.0"}, caos.Conflict, "version", "already"},
			"unknown model":     {registry.Version{ModelID: "NN-FCS-009", Version: "1.0.0"}, caos.NotFound, "model_id", ""},
			"supersedes itself": {registry.Version{Version: "2.2.0", Supersedes: "2.2.0"}, caos.Invalid, "supersedes", "not lower"},
			"supersedes later":  {registry.Version{Version: "2.2.0", Supersedes: "3.0.0"}, caos.Invalid, "supersedes", "not lower"},
			"supersedes words":  {registry.Version{Version: "2.2.0", Supersedes: "the last"}, caos.Invalid, "supersedes", ""},
			"range":             {registry.Version{Version: "2.2.0", CompatibleWith: []string{"2.0.x", "2.*"}}, caos.Invalid, "compatible_with[1]", ""},
			"many ranges":       {registry.Version{Version: "2.2.0", CompatibleWith: make([]string, 101)}, caos.TooLarge, "compatible_with", ""},
			"impact":            {registry.Version{Version: "2.2.0", SafetyImpact: strings.Repeat("x", 4001)}, caos.TooLarge, "safety_impact", ""},
			"framework":         {registry.Version{Version: "2.2.0", Framework: "a\tb"}, caos.Invalid, "framework", ""},
		} {
			if c.v.ModelID == "" {
				c.v.ModelID = fcs
			}
			err := f.update(func(tx *db.Tx) error { _, err := f.CreateVersion(tx, c.v, anna); return err })
			t.Run(name, func(t *testing.T) { wantError(t, err, c.kind, c.field, c.say) })
		}
		got, _, err := f.Versions(context.Background(), fcs, 0, "")
		f.ok(err)
		if len(got) != 1 {
			t.Errorf("refusals left %d versions", len(got))
		}
	})
}

func TestVersions(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		for _, v := range []string{"0.9.0-rc.1", "0.9.0", "1.0.0", "1.10.0", "2.0.0"} { // 1.10 is higher than 1.9
			f.version(fcs, v)
		}
		err := f.update(func(tx *db.Tx) error {
			_, err := f.CreateVersion(tx, registry.Version{ModelID: fcs, Version: "1.9.0"}, anna)
			return err
		})
		wantError(t, err, caos.Invalid, "version", "2.0.0")
		var got []string
		cursor := ""
		for {
			page, next, err := f.Versions(context.Background(), fcs, 2, cursor)
			f.ok(err)
			for _, v := range page {
				got = append(got, v.Version)
			}
			if cursor = next; next == "" {
				break
			}
		}
		wantList(t, got, "2.0.0", "1.10.0", "1.0.0", "0.9.0", "0.9.0-rc.1")

		change := func(at registry.VersionAt, c registry.VersionChange) (out *registry.Version, err error) {
			err = f.update(func(tx *db.Tx) (err error) {
				out, err = f.UpdateVersion(tx, at, c, bruno)
				return err
			})
			return out, err
		}
		at := registry.VersionAt{ModelID: fcs, Version: "2.0.0", Revision: 1}
		v, err := change(at, registry.VersionChange{Supersedes: of("1.10.0"), CompatibleWith: &[]string{"1.x", "1.10.0"}, Framework: of("JAX")})
		f.ok(err)
		if v.Revision != 2 || v.State != registry.Registered || v.Framework != "JAX" || v.SafetyImpact != "none" {
			t.Errorf("changed %+v", v)
		}
		_, err = change(at, registry.VersionChange{Framework: of("TF")})
		wantError(t, err, caos.Conflict, "revision", "")
		at.Revision = 0
		_, err = change(at, registry.VersionChange{Supersedes: of("2.0.1")})
		wantError(t, err, caos.Invalid, "supersedes", "")
		v, err = change(at, registry.VersionChange{Framework: of("JAX"), CompatibleWith: &[]string{"1.x", "1.10.0"}})
		f.ok(err)
		if v.Revision != 2 {
			t.Errorf("a change of nothing made revision %d", v.Revision)
		}
		back, err := f.Version(context.Background(), fcs, "2.0.0")
		f.ok(err)
		wantList(t, back.CompatibleWith, "1.x", "1.10.0")
		if back.Project != "demo" || back.Classification != "Internal" || back.Supersedes != "1.10.0" || back.FrozenAt != nil {
			t.Errorf("read %+v", back)
		}
		wantList(t, f.records("NN-FCS-001@2.0.0"), "version changed", "version registered")
		_, err = f.Version(context.Background(), fcs, "7.0.0")
		wantError(t, err, caos.NotFound, "version", "no version 7.0.0")
		_, err = f.Version(context.Background(), fcs, "seven")
		wantError(t, err, caos.Invalid, "version", "")
		_, _, err = f.Versions(context.Background(), "x", 0, "")
		wantError(t, err, caos.Invalid, "model_id", "")
	})
}
